//! A broker behind TLS that asks who is there: what `-X` is for.
//!
//! Owns the certificate and the users; what clients make of them is the tests' to say.

use std::fs;
use std::path::PathBuf;

use super::kafka::{Brokers, Setup, run_script};
use super::ports::Port;

/// Opens the broker's own key; of no worth outside its folder.
const STORE_PASSWORD: &str = "of-the-key-store";

/// One broker of this test's own with a `SASL_SSL` listener.
#[derive(Debug)]
pub struct SecuredKafka {
    brokers: Brokers,
    listener: Port,
}

impl SecuredKafka {
    /// The user that may come in, by PLAIN and by SCRAM-SHA-512.
    pub const USER: &'static str = "licenseflow";
    /// His password.
    pub const PASSWORD: &'static str = "open-sesame-7431";

    /// Makes a certificate, starts a broker with it, and makes the user known.
    ///
    /// # Errors
    /// Where any of this fails.
    pub fn own() -> anyhow::Result<Self> {
        let (brokers, listener) = (Brokers::prepare(1)?, Port::free()?);
        let kafka = Self { brokers, listener };
        kafka.make_certificate()?;
        let settings = kafka.brokers.folder().join("settings");
        fs::write(&settings, kafka.settings())?;
        let settings = settings.to_string_lossy().into_owned();
        kafka
            .brokers
            .up(Setup::ForTests, &["--settings", &settings])?;
        kafka.add_scram_user()?;
        Ok(kafka)
    }

    /// The address of the listener that asks.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.listener.number())
    }

    /// The certificate that a client must trust.
    pub fn certificate(&self) -> PathBuf {
        self.brokers.folder().join("broker.pem")
    }

    fn key_store(&self) -> String {
        let file = self.brokers.folder().join("broker.p12");
        file.to_string_lossy().into_owned()
    }

    fn settings(&self) -> String {
        let ports: Vec<u16> = self.brokers.numbers().collect();
        let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
        let (open, controller) = (at("PLAINTEXT", ports[0]), at("CONTROLLER", ports[1]));
        let secured = at("SASL_SSL", self.listener.number());
        let (user, password, key_store) = (Self::USER, Self::PASSWORD, self.key_store());
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let lines = [
            format!("listeners={open},{secured},{controller}"),
            format!("advertised.listeners={open},{secured}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL".to_owned(),
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512".to_owned(),
            format!("listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required user_{user}=\"{password}\";"),
            format!("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required;"),
            "ssl.keystore.type=PKCS12".to_owned(),
            format!("ssl.keystore.location={key_store}"),
            format!("ssl.keystore.password={STORE_PASSWORD}"),
            format!("ssl.key.password={STORE_PASSWORD}\n"),
        ];
        lines.join("\n")
    }

    /// Its own authority, for the address that tests use.
    fn make_certificate(&self) -> anyhow::Result<()> {
        let key_store = self.key_store();
        let opened = ["-alias", "broker", "-storepass", STORE_PASSWORD];
        let in_store = ["-storetype", "PKCS12", "-keystore", &key_store];
        let key = ["-genkeypair", "-keyalg", "RSA", "-validity", "2"];
        let names = ["-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1"];
        keytool(&[&key[..], &names, &in_store, &opened].concat())?;
        let certificate = self.certificate();
        let certificate = certificate.to_string_lossy();
        let export = ["-exportcert", "-rfc", "-file", &certificate];
        keytool(&[&export[..], &in_store, &opened].concat())
    }

    fn add_scram_user(&self) -> anyhow::Result<()> {
        let open = format!("127.0.0.1:{}", self.brokers.numbers().next().unwrap_or(0));
        let password = format!("SCRAM-SHA-512=[password={}]", Self::PASSWORD);
        let of_user = ["--entity-type", "users", "--entity-name", Self::USER];
        let change = ["--alter", "--add-config", &password];
        let tool = ["tool", "kafka.admin.ConfigCommand"];
        let there = ["--bootstrap-server", &open];
        run_script(None, &[&tool[..], &there, &change, &of_user].concat()).map(|_| ())
    }
}

/// Java's own tool for keys, run by the Java that runs Kafka.
fn keytool(arguments: &[&str]) -> anyhow::Result<()> {
    let tool = ["tool", "sun.security.tools.keytool.Main"];
    run_script(None, &[&tool[..], arguments].concat()).map(|_| ())
}
