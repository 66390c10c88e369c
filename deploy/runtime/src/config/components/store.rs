//! Where the read model rests.

use std::fmt;
use std::path::PathBuf;

/// The store and the folder for everything that is kept on this machine.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    /// Folder for what is kept on this machine
    #[arg(long, env = "LICENSEFLOW_DATA_DIR", default_value = default_data_dir(), value_name = "FOLDER")]
    pub data_dir: PathBuf,

    /// The store: a file as PATH or sqlite://PATH, or postgres://USER:PASSWORD@HOST/DATABASE; without
    /// it, licenseflow.db in the data folder
    #[arg(
        long,
        env = "LICENSEFLOW_STORE",
        value_name = "URL",
        value_parser = store_place,
        hide_env_values = true,
        hide_default_value = true
    )]
    pub store: Option<StorePlace>,
}

impl StoreArgs {
    /// The store that was named, else the file in the data folder.
    pub fn place(&self) -> StorePlace {
        let usual = || StorePlace::Sqlite(self.data_dir.join("licenseflow.db"));
        self.store.clone().unwrap_or_else(usual)
    }
}

/// Which store, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// The embedded store in this file.
    Sqlite(PathBuf),
    /// The PostgreSQL at this address.
    Postgres(PostgresUrl),
}

/// An address of a PostgreSQL database. It may hold a password, so it is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl PostgresUrl {
    /// The address with all that is in it, for the one who connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PostgresUrl(***)")
    }
}

/// The schemes that libpq takes too.
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

const SQLITE: &str = "sqlite://";

/// What is refused is not repeated: an address may hold a password, also a wrong one.
fn store_place(text: &str) -> Result<StorePlace, String> {
    if POSTGRES.iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(StorePlace::Postgres(PostgresUrl(text.to_owned())));
    }
    let path = text.strip_prefix(SQLITE).unwrap_or(text);
    if path.is_empty() || path.contains("://") {
        return Err(
            "expected a path, sqlite://PATH, such as sqlite:///var/lib/licenseflow.db, or \
             postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .to_owned(),
        );
    }
    Ok(StorePlace::Sqlite(PathBuf::from(path)))
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

    fn place(store: Option<&str>) -> StorePlace {
        let store = store.map(|text| store_place(text).unwrap());
        StoreArgs {
            data_dir: "/data".into(),
            store,
        }
        .place()
    }

    #[test]
    fn a_file_is_named_by_its_path_or_its_url() {
        let file = |path: &str| StorePlace::Sqlite(PathBuf::from(path));
        assert_eq!(place(None), file("/data/licenseflow.db"));
        assert_eq!(place(Some("sqlite:///a/b.db")), file("/a/b.db"));
        assert_eq!(place(Some("sqlite://b.db")), file("b.db"));
        assert_eq!(place(Some("/a/b.db")), file("/a/b.db"));
        assert_eq!(place(Some("b.db")), file("b.db"));
    }

    #[test]
    fn an_address_of_postgresql_is_kept_and_never_shown() {
        for url in [
            "postgres://me:geheim@host/db",
            "postgresql://me:geheim@host/db",
        ] {
            let place = place(Some(url));
            assert!(!format!("{place:?}").contains("geheim"));
            let StorePlace::Postgres(kept) = place else {
                panic!("{url} is no file");
            };
            assert_eq!(kept.expose(), url);
        }
    }

    #[test]
    fn other_stores_are_refused_and_not_repeated() {
        for url in [
            "",
            "mysql://me:geheim@a",
            "sqlite://",
            "sqlite://sqlite://a",
        ] {
            let said = store_place(url).unwrap_err();
            assert!(said.contains("postgres://"), "{said}");
            assert!(!said.contains("geheim"), "{said}");
        }
    }
}
