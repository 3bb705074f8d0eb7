//! `CertificateChoice`: which certificate a client is shown: by the name that it asks for (RFC 6066
//! §3) and the signatures that it understands.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ProtocolVersion, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite,
};

use super::credentials::Credentials;

/// The certificates of a listener, which can be replaced.
#[derive(Default)]
pub(super) struct CertificateChoice(RwLock<Arc<NameTable>>);

/// Indices into `all`, those with small keys first: they cost a tenth of the time of RSA.
#[derive(Default)]
struct NameTable {
    all: Vec<Arc<CertifiedKey>>,
    exact: HashMap<String, Vec<usize>>,
    /// By what follows `*.`.
    wildcards: HashMap<String, Vec<usize>>,
    default: Vec<usize>,
}

/// The use that a client can make of a certificate.
struct Understood<'a> {
    schemes: &'a [SignatureScheme],
    suites: &'a [CipherSuite],
    known: &'a [SupportedCipherSuite],
}

impl CertificateChoice {
    /// Replaces the certificates. The first one is the default.
    pub(super) fn replace<'a>(&self, all: impl IntoIterator<Item = &'a Credentials>) {
        *self.0.write() = Arc::new(NameTable::new(all));
    }
}

impl ResolvesServerCert for CertificateChoice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = Arc::clone(&self.0.read());
        let understood = Understood {
            schemes: hello.signature_schemes(),
            suites: hello.cipher_suites(),
            known: rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES,
        };
        named.choose(hello.server_name(), |certified| understood.allows(certified)).cloned()
    }
}

impl NameTable {
    fn new<'a>(credentials: impl IntoIterator<Item = &'a Credentials>) -> Self {
        let mut named = Self::default();
        let mut first_name = None;
        for (index, one) in credentials.into_iter().enumerate() {
            named.all.push(Arc::clone(&one.certified));
            let hosts = &one.facts.dns_names;
            if index == 0 {
                first_name = hosts.first().cloned();
            }
            let shares_name = first_name.as_ref().is_some_and(|name| hosts.contains(name));
            if index == 0 || shares_name {
                named.default.push(index);
            }
            for name in hosts {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut named.wildcards, parent),
                    None => (&mut named.exact, name.as_str()),
                };
                table.entry(name.to_owned()).or_default().push(index);
            }
        }
        let all = &named.all;
        let is_rsa = |index: &usize| {
            all.get(*index).is_some_and(|one| one.key.algorithm() == SignatureAlgorithm::RSA)
        };
        let lists = named.exact.values_mut().chain(named.wildcards.values_mut());
        for list in lists.chain([&mut named.default]) {
            list.sort_by_key(is_rsa); // stable: otherwise in the file's order
        }
        named
    }

    fn choose(
        &self,
        name: Option<&str>,
        is_allowed: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<&Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let parent = name.split_once('.').map_or("", |(_, parent)| parent);
        let lists = [self.exact.get(&name), self.wildcards.get(parent), Some(&self.default)];
        let candidates = lists.into_iter().flatten().flatten();
        let mut allowed = candidates.filter_map(|index| self.all.get(*index));
        let chosen = allowed.find(|certified| is_allowed(certified));
        chosen.or_else(|| self.all.first()) // the handshake then says what is missing
    }
}

impl Understood<'_> {
    /// Without TLS 1.3 the cipher suite has to fit the key, too.
    fn allows(&self, certified: &CertifiedKey) -> bool {
        let algorithm = certified.key.algorithm();
        let is_common = |suite: &SupportedCipherSuite| {
            self.suites.contains(&suite.suite())
                && (suite.version().version == ProtocolVersion::TLSv1_3
                    || suite.usable_for_signature_algorithm(algorithm))
        };
        certified.key.choose_scheme(self.schemes).is_some() && self.known.iter().any(is_common)
    }
}

impl fmt::Debug for CertificateChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateChoice").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    use super::*;
    use crate::tls::facts::CertificateFacts;

    /// Makes certificates of these names, with RSA keys where the name begins with `rsa:`.
    fn named(all: &[&[&str]]) -> Vec<Credentials> {
        all.iter().map(|names| credentials(names)).collect()
    }

    fn credentials(names: &[&str]) -> Credentials {
        let is_rsa = names.first() == Some(&"rsa");
        let names = names.iter().filter(|name| **name != "rsa").map(|name| (*name).to_owned());
        let algorithm = if is_rsa { &PKCS_RSA_SHA256 } else { &PKCS_ECDSA_P256_SHA256 };
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        let der = certificate.self_signed(&key).unwrap().der().clone();
        let facts = CertificateFacts::read(&der).unwrap();
        let private = rustls_pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).unwrap();
        let files = settings::CertificateFiles {
            certificate: "a.pem".into(),
            key: "a.key".into(),
            ocsp: None,
        };
        let certified = Arc::new(CertifiedKey::new(vec![der], signing));
        Credentials { files, certified, facts, staple_ends: None, staple_problem: None }
    }

    fn place(
        all: &[Credentials],
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<usize> {
        let suites = [CipherSuite::TLS13_AES_128_GCM_SHA256];
        let known = rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES;
        let understood = Understood { schemes, suites: &suites, known };
        let named = NameTable::new(all);
        let chosen = named.choose(name, |certified| understood.allows(certified))?;
        all.iter().position(|one| Arc::ptr_eq(&one.certified, chosen))
    }

    const BOTH: [SignatureScheme; 2] =
        [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];

    #[test]
    fn the_exact_name_comes_first_then_the_wildcard_then_the_default() {
        let all = named(&[&["shop.test"], &["*.shop.test"], &["Www.shop.test", "b.test"]]);
        let chosen = |name| place(&all, name, &BOTH);

        assert_eq!(chosen(Some("shop.test")), Some(0));
        assert_eq!(chosen(Some("WWW.shop.test")), Some(2));
        assert_eq!(chosen(Some("img.shop.test")), Some(1));
        assert_eq!(chosen(Some("b.test")), Some(2));
        assert_eq!(chosen(Some("a.img.shop.test")), Some(0), "a wildcard is one label");
        assert_eq!(chosen(Some("other.test")), Some(0));
        assert_eq!(chosen(None), Some(0));
    }

    #[test]
    fn the_smaller_key_is_chosen_if_the_client_understands_it() {
        let all = named(&[&["rsa", "shop.test"], &["shop.test"], &["other.test"]]);

        for name in [Some("shop.test"), None, Some("unknown.test")] {
            assert_eq!(place(&all, name, &BOTH), Some(1));
            assert_eq!(place(&all, name, &[SignatureScheme::RSA_PSS_SHA256]), Some(0));
            assert_eq!(place(&all, name, &[SignatureScheme::ED25519]), Some(0));
        }
    }

    #[test]
    fn before_tls_13_the_cipher_suite_fits_the_key() {
        let all = named(&[&["rsa", "shop.test"], &["shop.test"]]);
        let suites = [CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
        let known = rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES;
        let understood = Understood { schemes: &BOTH, suites: &suites, known };

        assert!(understood.allows(&all[0].certified));
        assert!(!understood.allows(&all[1].certified));
    }
}
