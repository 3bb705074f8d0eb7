//! `[kafka]`: the brokers that purge requests come from, and how they are trusted. Only the purger
//! connects to them.

use std::path::PathBuf;

use super::Secret;
use super::secret::secret;
use crate::table::Table;
use crate::tree::Node;
use crate::value::{Fault, choice, parsed, text};

/// The connection to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port` of brokers to ask for all others; empty: there is no Kafka.
    pub brokers: Vec<String>,
    /// The cluster's name in positions, for brokers that have no cluster id (Kafka before 0.10.1).
    pub cluster: String,
    /// Protection of connections.
    pub security: Security,
    /// Authentication of the purger, for `sasl_plaintext` and `sasl_ssl`.
    pub sasl_mechanism: SaslMechanism,
    /// For `PLAIN` and `SCRAM`.
    pub username: String,
    /// For `PLAIN` and `SCRAM`.
    pub password: Option<Secret>,
    /// The file with the token for `OAUTHBEARER`; it is read again for each new token.
    pub token_file: Option<PathBuf>,
    /// The authorities that brokers' certificates are checked against; the system's when absent.
    pub ca: Option<PathBuf>,
    /// The purger's own certificate, for brokers that ask for one.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<Secret>,
    /// The purger's name in the brokers' logs and quotas.
    pub client_id: String,
    /// Anything else for librdkafka, as it is.
    pub properties: Vec<(String, String)>,
}

/// Protection of connections, in librdkafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL over plain connections: passwords can be read on the way.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

/// Authentication of the purger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// User name and password as they are.
    Plain,
    /// User name and a proof of the password.
    ScramSha256,
    /// User name and a proof of the password.
    ScramSha512,
    /// A token.
    OauthBearer,
}

impl Security {
    /// The word in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Returns whether a user has to be named.
    pub const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl SaslMechanism {
    /// The word in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            cluster: String::new(),
            security: Security::Plaintext,
            sasl_mechanism: SaslMechanism::ScramSha512,
            username: String::new(),
            password: None,
            token_file: None,
            ca: None,
            certificate: None,
            key: None,
            key_password: None,
            client_id: "shellac-purger".to_owned(),
            properties: Vec::new(),
        }
    }
}

impl KafkaSettings {
    /// Reads `[kafka]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read_each("brokers", parsed(broker), &mut self.brokers);
        table.read("cluster", owned, &mut self.cluster);
        table.read("security", choice(&SECURITIES), &mut self.security);
        table.read("sasl_mechanism", choice(&MECHANISMS), &mut self.sasl_mechanism);
        table.read("username", owned, &mut self.username);
        table.read("password", secret, &mut self.password);
        table.read("token_file", path, &mut self.token_file);
        table.read("ca", path, &mut self.ca);
        table.read("certificate", path, &mut self.certificate);
        table.read("key", path, &mut self.key);
        table.read("key_password", secret, &mut self.key_password);
        table.read("client_id", owned, &mut self.client_id);
        table.read_map("properties", owned, &mut self.properties);
    }
}

fn broker(text: &str) -> Result<String, Fault> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(1..)) if !text.contains("://") => Ok(text.to_owned()),
        _ => Err(Fault::new(format!("must be host:port, and `{text}` is none"), "not host:port")
            .help("\"kafka-0.internal:9092\"")),
    }
}

pub(super) fn owned(node: &Node) -> Result<String, Fault> {
    text(node).map(str::to_owned)
}

pub(super) fn path(node: &Node) -> Result<Option<PathBuf>, Fault> {
    Ok(Some(text(node)?).filter(|path| !path.is_empty()).map(PathBuf::from))
}

const SECURITIES: [(&str, Security); 4] = [
    ("plaintext", Security::Plaintext),
    ("ssl", Security::Ssl),
    ("sasl_plaintext", Security::SaslPlaintext),
    ("sasl_ssl", Security::SaslSsl),
];

const MECHANISMS: [(&str, SaslMechanism); 4] = [
    ("PLAIN", SaslMechanism::Plain),
    ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
    ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
    ("OAUTHBEARER", SaslMechanism::OauthBearer),
];
