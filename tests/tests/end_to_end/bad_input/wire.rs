//! HTTP by hand, for what no HTTP library would send.

use std::time::Duration;

use licenseflow_tests::harness::Platform;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take; the bounds under test are far shorter.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the platform.
pub(super) struct Wire(TcpStream);

/// What came back before the connection ended.
#[derive(Debug)]
pub(super) struct Answer {
    /// None where it was closed without a word.
    pub(super) status: Option<u16>,
    pub(super) text: String,
}

impl Wire {
    pub(super) async fn open(platform: &Platform) -> Self {
        let address = platform.api().replace("http://", "");
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Sends bytes, as far as they are still taken: whether all of them were.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Says that no more will come, and still listens.
    pub(super) async fn half_close(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Goes away without a farewell: what was not read is thrown away with a reset.
    pub(super) fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }

    /// All that comes until the other side closes.
    pub(super) async fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(read.is_ok(), "the connection is kept open after: {text:?}");
        let status = text
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| text.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3)?.parse().ok());
        Answer { status, text }
    }

    /// One request and its answer.
    pub(super) async fn ask(platform: &Platform, request: impl AsRef<[u8]>) -> Answer {
        let mut wire = Self::open(platform).await;
        wire.send(request.as_ref()).await;
        wire.answer().await
    }
}

impl Answer {
    /// The code of the problem in the body.
    pub(super) fn code(&self) -> String {
        self.problem()["code"].as_str().unwrap().to_owned()
    }

    /// The problem in the body, chunked or not.
    pub(super) fn problem(&self) -> Value {
        let (start, end) = (self.text.find('{'), self.text.rfind('}'));
        let body = start.zip(end).map(|(start, end)| &self.text[start..=end]);
        let problem = body.and_then(|body| serde_json::from_str(body).ok());
        problem.unwrap_or_else(|| panic!("no problem in {:?}", self.text))
    }
}
