//! Where the read model rests.

use std::path::PathBuf;

/// The store and the folder for everything that is kept on this machine.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    /// Folder for what is kept on this machine
    #[arg(long, env = "LICENSEFLOW_DATA_DIR", default_value = default_data_dir(), value_name = "FOLDER")]
    pub data_dir: PathBuf,

    /// The store as sqlite://PATH; without it, licenseflow.db in the data folder
    #[arg(long, env = "LICENSEFLOW_STORE", value_name = "URL", value_parser = store_url)]
    pub store: Option<String>,
}

impl StoreArgs {
    /// The file of the embedded store.
    pub fn sqlite_path(&self) -> PathBuf {
        match &self.store {
            Some(url) => PathBuf::from(url.trim_start_matches(SCHEME)),
            None => self.data_dir.join("licenseflow.db"),
        }
    }
}

const SCHEME: &str = "sqlite://";

fn store_url(text: &str) -> Result<String, String> {
    match text.strip_prefix(SCHEME) {
        Some(path) if !path.is_empty() => Ok(text.to_owned()),
        Some(_) | None => {
            Err("expected sqlite://PATH, such as sqlite:///var/lib/licenseflow.db".to_owned())
        }
    }
}

/// The desktop convention for data of a user, else a folder where one stands.
fn default_data_dir() -> String {
    let home = || std::env::var("HOME").ok().filter(|home| !home.is_empty());
    let base = std::env::var("XDG_DATA_HOME")
        .ok()
        .filter(|folder| folder.starts_with('/'))
        .or_else(|| home().map(|home| format!("{home}/.local/share")));
    base.map_or_else(
        || "licenseflow-data".to_owned(),
        |base| format!("{base}/licenseflow"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_an_absolute_or_a_relative_file() {
        let at = |store: Option<&str>| {
            let store = store.map(str::to_owned);
            StoreArgs {
                data_dir: "/data".into(),
                store,
            }
            .sqlite_path()
        };
        assert_eq!(at(None), PathBuf::from("/data/licenseflow.db"));
        assert_eq!(at(Some("sqlite:///a/b.db")), PathBuf::from("/a/b.db"));
        assert_eq!(at(Some("sqlite://b.db")), PathBuf::from("b.db"));
    }

    #[test]
    fn other_stores_are_refused() {
        for url in ["", "b.db", "postgres://a", "sqlite://"] {
            assert!(store_url(url).is_err(), "{url}");
        }
    }
}
