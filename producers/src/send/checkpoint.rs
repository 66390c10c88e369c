//! How far a run is, kept so that it survives a kill anywhere: written beside, synced, and renamed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SendError;

/// Everything before this place of the input was acknowledged, or was skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The lines before it.
    pub lines: u64,
    /// The bytes before it.
    pub bytes: u64,
}

impl Checkpoint {
    /// The checkpoint in a file; the beginning where there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub async fn load(path: &Path) -> Result<Self, SendError> {
        let bytes = match tokio::fs::read(path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unusable(path, &error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| unusable(path, &error))
    }

    /// Puts this checkpoint in the place of the one in the file.
    ///
    /// # Errors
    /// The file cannot be written; it then holds the one before.
    pub async fn save(&self, path: &Path) -> Result<(), SendError> {
        let text = serde_json::to_vec(self).map_err(|error| unusable(path, &error))?;
        let to = path.to_owned();
        let written = tokio::task::spawn_blocking(move || replace(&to, &text)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| unusable(path, &error))
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The rename itself is on the disk once its folder is.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> SendError {
    SendError::Checkpoint {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_checkpoint_reads_back_and_a_missing_one_is_the_beginning() {
        let name = format!("licenseflow-checkpoint-{}", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().join(name);
        assert_eq!(
            Checkpoint::load(&path).await.unwrap(),
            Checkpoint::default()
        );
        let checkpoint = Checkpoint {
            lines: 3,
            bytes: 77,
        };
        checkpoint.save(&path).await.unwrap();
        assert_eq!(Checkpoint::load(&path).await.unwrap(), checkpoint);
        std::fs::write(&path, "{\"lines\":1}").unwrap();
        assert!(Checkpoint::load(&path).await.is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
