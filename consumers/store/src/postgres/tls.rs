//! TLS to the database: what `sslmode` and `sslrootcert` of its address ask for.
//!
//! The words mean what they mean to libpq. `prefer` and `require` hide what is said from whoever listens;
//! only `verify-full` knows who answers. rustls checks a name with every certificate that it checks, so
//! `verify-ca` is as strict as `verify-full`.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// What an address says of TLS that the client itself does not know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whether the server must prove who it is.
    pub(crate) verified: bool,
    /// The certificates to trust instead of the system's, in PEM.
    pub(crate) roots: Option<PathBuf>,
}

/// Takes what is said of verification out of an address: what is left is for the client to read.
pub(crate) fn asked(url: &str) -> Result<(String, Asked), Error> {
    let mut asked = Asked::default();
    let Some((place, parameters)) = url.split_once('?') else {
        return Ok((url.to_owned(), asked));
    };
    let (mut left, mut mode) = (Vec::new(), None);
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", said)) => mode = Some(said),
            Some(("sslrootcert", path)) => {
                let path = percent_encoding::percent_decode_str(path).decode_utf8();
                let path = path.map_err(|_| unusable("sslrootcert is no UTF-8"))?;
                asked.roots = Some(PathBuf::from(path.as_ref()));
            }
            Some(_) | None => left.push(parameter),
        }
    }
    asked.verified = match mode {
        Some("verify-full" | "verify-ca") => true,
        Some("disable") => false,
        // Whoever names roots wants them asked, and a server without TLS shows nothing to ask them of.
        Some(_) | None => asked.roots.is_some(),
    };
    let mode = if asked.verified {
        Some("require")
    } else {
        mode
    };
    let mode = mode.map(|mode| format!("sslmode={mode}"));
    left.extend(mode.as_deref());
    Ok((format!("{place}?{}", left.join("&")), asked))
}

/// What makes connections as asked.
pub(crate) fn connector(asked: &Asked) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(asked, provider)?)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(
    asked: &Asked,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if !asked.verified {
        return Ok(Arc::new(Unverified(provider)));
    }
    let roots = Arc::new(roots(asked)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    Ok(verifier.map_err(|error| unusable(&error.to_string()))?)
}

fn roots(asked: &Asked) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let Some(path) = &asked.roots else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            return Err(unusable(
                "this system has no certificates to trust: install ca-certificates, or name a file with \
                 sslrootcert=PATH",
            ));
        }
        return Ok(store);
    };
    let refused = |why: &dyn std::fmt::Display| {
        unusable(&format!(
            "the certificates of sslrootcert={} cannot be used: {why}",
            path.display()
        ))
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| refused(&error))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| refused(&error))?;
        store.add(certificate).map_err(|error| refused(&error))?;
    }
    if store.is_empty() {
        return Err(refused(&"there is none in it"));
    }
    Ok(store)
}

fn unusable(why: &str) -> Error {
    Error::Unusable(format!("TLS to PostgreSQL: {why}"))
}

/// Takes whichever certificate is shown; that the server has its key is checked all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.0.signature_verification_algorithms;
        known.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> (String, bool, Option<PathBuf>) {
        let (left, asked) = asked(url).unwrap();
        (left, asked.verified, asked.roots)
    }

    #[test]
    fn what_an_address_says_of_verification_is_taken_out_of_it() {
        let url = "postgres://h/d?sslmode=verify-full&application_name=x";
        let left = "postgres://h/d?application_name=x&sslmode=require";
        assert_eq!(of(url), (left.to_owned(), true, None));
        for url in ["postgres://h/d", "postgres://h/d?sslmode=require"] {
            assert_eq!(of(url), (url.to_owned(), false, None));
        }
    }

    #[test]
    fn roots_that_are_named_are_asked_and_no_server_gets_around_them_without_tls() {
        let roots = || Some(PathBuf::from("/a b.pem"));
        let required = "postgres://h/d?sslmode=require";
        for mode in [
            "",
            "&sslmode=prefer",
            "&sslmode=require",
            "&sslmode=verify-ca",
        ] {
            let url = format!("postgres://h/d?sslrootcert=/a%20b.pem{mode}");
            assert_eq!(of(&url), (required.to_owned(), true, roots()), "{mode}");
        }
        let disabled = "postgres://h/d?sslmode=disable";
        let url = format!("{disabled}&sslrootcert=/a%20b.pem");
        assert_eq!(of(&url), (disabled.to_owned(), false, roots()));
        // The last counts, as with libpq.
        let url = "postgres://h/d?sslmode=disable&sslmode=verify-full";
        assert_eq!(of(url), (required.to_owned(), true, None));
    }

    #[test]
    fn certificates_that_cannot_be_read_are_named() {
        let asked = Asked {
            verified: true,
            roots: Some("/nowhere/root.pem".into()),
        };
        let error = connector(&asked).err().unwrap().to_string();
        assert!(error.contains("sslrootcert=/nowhere/root.pem"), "{error}");
    }
}
