//! `CertificateFacts`: what a certificate says of itself (RFC 5280 §4.1); `StapleFacts`: what an
//! OCSP response says of it (RFC 6960 §4.2).

use super::der::{Der, DerTag};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateFacts {
    serial: Vec<u8>,
    /// Seconds since 1970.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// The DNS names in lower case, `*.` in front of those for all names below.
    pub(super) dns_names: Vec<String>,
    has_addresses: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StapleFacts {
    serial: Vec<u8>,
    pub(super) is_good: bool,
    /// Seconds since 1970.
    pub(super) next_update: Option<u64>,
}

impl CertificateFacts {
    pub(super) fn read(certificate: &[u8]) -> Option<Self> {
        let mut fields = Der::new(certificate).take(DerTag::SEQUENCE)?.take(DerTag::SEQUENCE)?;
        fields.take_if(DerTag::context(0)); // version
        let serial = fields.take(DerTag::INTEGER)?.bytes().to_vec();
        fields.take(DerTag::SEQUENCE)?; // signature algorithm
        fields.take(DerTag::SEQUENCE)?; // issuer
        let mut validity = fields.take(DerTag::SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let mut facts =
            Self { serial, not_before, not_after, dns_names: Vec::new(), has_addresses: false };
        fields.take(DerTag::SEQUENCE)?; // subject
        fields.take(DerTag::SEQUENCE)?; // public key
        fields.take_if(DerTag::primitive(1));
        fields.take_if(DerTag::primitive(2));
        if let Some(extensions) = fields.take_if(DerTag::context(3)) {
            facts.read_names(extensions);
        }
        Some(facts)
    }

    fn read_names(&mut self, mut extensions: Der<'_>) {
        let extensions = extensions.take(DerTag::SEQUENCE).into_iter().flat_map(Der::elements);
        for (_, mut extension) in extensions {
            let is_names =
                extension.take(DerTag::OID).is_some_and(|oid| oid.bytes() == SUBJECT_ALT_NAME);
            let value = extension.elements().find(|(tag, _)| *tag == DerTag::OCTETS);
            let Some((_, mut value)) = value.filter(|_| is_names) else { continue };
            let names = value.take(DerTag::SEQUENCE).into_iter().flat_map(Der::elements);
            for (tag, name) in names {
                match std::str::from_utf8(name.bytes()) {
                    Ok(name) if tag == DNS_NAME => self.dns_names.push(name.to_ascii_lowercase()),
                    _ => self.has_addresses |= tag == IP_ADDRESS,
                }
            }
        }
    }

    pub(super) const fn has_names(&self) -> bool {
        self.has_addresses || !self.dns_names.is_empty()
    }

    /// Returns whether the response is about this certificate.
    pub(super) fn is_of(&self, staple: &StapleFacts) -> bool {
        self.serial == staple.serial
    }
}

impl StapleFacts {
    pub(super) fn read(response: &[u8]) -> Option<Self> {
        let mut response = Der::new(response).take(DerTag::SEQUENCE)?;
        if response.take(DerTag::ENUMERATED)?.bytes() != [0] {
            return None; // no response, but an error
        }
        let mut bytes = response.take(DerTag::context(0))?.take(DerTag::SEQUENCE)?;
        bytes.take(DerTag::OID)?;
        let mut basic = bytes.take(DerTag::OCTETS)?.take(DerTag::SEQUENCE)?;
        let mut data = basic.take(DerTag::SEQUENCE)?;
        data.take_if(DerTag::context(0)); // version
        data.next()?; // responder
        data.next()?; // produced at
        let mut single = data.take(DerTag::SEQUENCE)?.take(DerTag::SEQUENCE)?;
        let mut id = single.take(DerTag::SEQUENCE)?;
        id.take(DerTag::SEQUENCE)?; // hash algorithm
        id.take(DerTag::OCTETS)?; // issuer's name
        id.take(DerTag::OCTETS)?; // issuer's key
        let serial = id.take(DerTag::INTEGER)?.bytes().to_vec();
        let (status, _) = single.next()?;
        single.time()?;
        let next_update = single.take_if(DerTag::context(0)).and_then(|mut time| time.time());
        Some(Self { serial, is_good: status == DerTag::primitive(0), next_update })
    }
}

/// 2.5.29.17
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
const DNS_NAME: DerTag = DerTag::primitive(2);
const IP_ADDRESS: DerTag = DerTag::primitive(7);
