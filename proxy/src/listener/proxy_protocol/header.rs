//! Reads a header of the PROXY protocol that has arrived whole. Pure.

use std::net::{IpAddr, SocketAddr};

/// The statement of a header about the connection that is spoken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) speaker: Speaker,
    /// The client's connection was a TLS one.
    pub(crate) is_secure: bool,
}

/// Whom the peer speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The peer itself (LOCAL).
    Itself,
    /// A client at this address, which connected to that one.
    Client(SocketAddr, SocketAddr),
    /// A client without an address that means anything here.
    #[default]
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedHeader {
    #[error("the line is too long")]
    LineTooLong,
    #[error("the line has no CR before its LF")]
    LineEnd,
    #[error("the line is malformed")]
    Line,
    #[error("an address is malformed")]
    Address,
    #[error("a port is malformed")]
    Port,
    #[error("the version is unknown")]
    Version,
    #[error("the command is unknown")]
    Command,
    #[error("it is shorter than its addresses")]
    TooShort,
    #[error("it is longer than {HEADER_BYTES_MAX} bytes")]
    TooLong,
    #[error("an attribute is cut off")]
    Attribute,
    #[error("the checksum does not match")]
    Checksum,
}

/// The beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It may become a header, or not.
    Undecided,
    Version1,
    Version2,
    /// It is no header.
    Other,
}

impl Beginning {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(PREFIX_1) {
            Self::Version1
        } else if bytes.starts_with(PREFIX_2) {
            Self::Version2
        } else if PREFIX_1.starts_with(bytes) || PREFIX_2.starts_with(bytes) {
            Self::Undecided
        } else {
            Self::Other
        }
    }
}

/// Reads a header of version 1, with its CRLF.
pub(crate) fn read_line(line: &[u8]) -> Result<Announced, MalformedHeader> {
    let line = line.strip_suffix(b"\r\n").ok_or(MalformedHeader::LineEnd)?;
    let line = std::str::from_utf8(line).map_err(|_binary| MalformedHeader::Line)?;
    let mut words = line.split(' ');
    let (Some("PROXY"), Some(family)) = (words.next(), words.next()) else {
        return Err(MalformedHeader::Line);
    };
    let address: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse().ok().map(IpAddr::V6),
        "UNKNOWN" => return Ok(Announced::default()), // whatever follows
        _ => return Err(MalformedHeader::Line),
    };
    let mut addresses = || words.next().and_then(address).ok_or(MalformedHeader::Address);
    let (source, destination) = (addresses()?, addresses()?);
    let mut ports = || words.next().and_then(port).ok_or(MalformedHeader::Port);
    let (source_port, destination_port) = (ports()?, ports()?);
    if words.next().is_some() {
        return Err(MalformedHeader::Line);
    }
    let source = SocketAddr::new(source, source_port);
    let destination = SocketAddr::new(destination, destination_port);
    Ok(Announced { speaker: Speaker::Client(source, destination), is_secure: false })
}

fn port(text: &str) -> Option<u16> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = is_decimal && (text.len() == 1 || !text.starts_with('0'));
    is_canonical.then(|| text.parse().ok()).flatten()
}

/// Returns how many bytes follow the first ones of a header of version 2.
pub(super) fn rest_of(start: &[u8; START_BYTES]) -> Result<usize, MalformedHeader> {
    let [.., high, low] = *start;
    let length = usize::from(number(high, low));
    if START_BYTES + length > HEADER_BYTES_MAX {
        return Err(MalformedHeader::TooLong);
    }
    Ok(length)
}

/// Reads a header of version 2: its first bytes, then as many as they announce.
pub(crate) fn read_binary(header: &[u8]) -> Result<Announced, MalformedHeader> {
    let (start, rest) =
        header.split_first_chunk::<START_BYTES>().ok_or(MalformedHeader::TooShort)?;
    let [.., command, family, _, _] = *start;
    if !start.starts_with(PREFIX_2) || command >> 4 != 2 {
        return Err(MalformedHeader::Version);
    }
    let is_local = match command & 0x0f {
        0 => true,
        1 => false,
        _ => return Err(MalformedHeader::Command),
    };
    if rest.len() != rest_of(start)? {
        return Err(MalformedHeader::TooShort);
    }
    if is_local {
        // "must discard the protocol block including the family"
        return Ok(Announced { speaker: Speaker::Itself, is_secure: false });
    }
    let length = match family {
        UNSPECIFIED => 0,
        TCP_OVER_IPV4 => 12,
        TCP_OVER_IPV6 => 36,
        UNIX_STREAM => 216,
        _ => return Ok(Announced::default()), // where its attributes begin is not known
    };
    let (addresses, attributes) = rest.split_at_checked(length).ok_or(MalformedHeader::TooShort)?;
    let ends = match family {
        TCP_OVER_IPV4 => ends::<4>(addresses),
        TCP_OVER_IPV6 => ends::<16>(addresses),
        _ => None, // a client at a Unix socket of another machine has no address that means anything here
    };
    let is_secure = read_attributes(header, attributes)?;
    let client = |(source, destination)| Speaker::Client(source, destination);
    Ok(Announced { speaker: ends.map_or(Speaker::Unknown, client), is_secure })
}

/// Reads two addresses of this length and their ports.
fn ends<const N: usize>(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, ports) = rest.split_first_chunk::<N>()?;
    let [a, b, c, d] = *ports.first_chunk::<4>()?;
    let end = |address: [u8; N], port| SocketAddr::new(IpAddr::from(address), port);
    Some((end(*source, number(a, b)), end(*destination, number(c, d))))
}

/// Reads the attributes, and returns whether they say that the client used TLS.
fn read_attributes(header: &[u8], attributes: &[u8]) -> Result<bool, MalformedHeader> {
    let (mut is_secure, mut rest) = (false, attributes);
    while let Some(([kind, high, low], values)) = rest.split_first_chunk::<3>() {
        let length = usize::from(number(*high, *low));
        let (value, others) = values.split_at_checked(length).ok_or(MalformedHeader::Attribute)?;
        match *kind {
            CHECKSUM => check_sum(header, header.len() - others.len() - length, value)?,
            TLS => is_secure = value.first().is_some_and(|client| client & CLIENT_USED_TLS != 0),
            _ => {}
        }
        rest = others;
    }
    if rest.is_empty() { Ok(is_secure) } else { Err(MalformedHeader::Attribute) }
}

/// Checks the CRC32C of the header, in which the checksum itself counts as zeros.
fn check_sum(header: &[u8], place: usize, value: &[u8]) -> Result<(), MalformedHeader> {
    let given = value.try_into().map_err(|_length| MalformedHeader::Attribute)?;
    let (before, after) = header.split_at_checked(place).ok_or(MalformedHeader::Attribute)?;
    let after = after.get(value.len()..).unwrap_or_default();
    let sum = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
    let [a, b, c, d]: [u8; 4] = given;
    let given = u32::from(number(a, b)) << 16 | u32::from(number(c, d));
    if crc32c::crc32c_append(sum, after) == given { Ok(()) } else { Err(MalformedHeader::Checksum) }
}

/// Reads a number in the order of the network.
fn number(high: u8, low: u8) -> u16 {
    u16::from(high) << 8 | u16::from(low)
}

const PREFIX_1: &[u8] = b"PROXY ";
const PREFIX_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a header of version 2 up to its length, the length included.
pub(super) const START_BYTES: usize = 16;
/// Bytes of the longest line of version 1.
pub(super) const LINE_BYTES_MAX: usize = 107;
/// Bytes of the longest header of version 2: the longest addresses, and room for attributes.
pub(super) const HEADER_BYTES_MAX: usize = 4096;

const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
const CHECKSUM: u8 = 0x03;
const TLS: u8 = 0x20;
const CLIENT_USED_TLS: u8 = 0x01;

#[cfg(test)]
mod tests {
    use ppp::v2::{Builder, Command, Protocol, Version};
    use proptest::prelude::*;

    use super::*;

    fn announced(source: &str, destination: &str) -> Announced {
        let speaker = Speaker::Client(source.parse().unwrap(), destination.parse().unwrap());
        Announced { speaker, is_secure: false }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = PREFIX_2.to_vec();
        header.extend([command, family]);
        let length = u16::try_from(rest.len()).unwrap();
        header.extend([(length >> 8) as u8, (length & 0xff) as u8]);
        header.extend(rest);
        header
    }

    const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb];

    #[test]
    fn a_line_names_both_ends() {
        let line = |text: &str| read_line(format!("{text}\r\n").as_bytes());

        let expected = announced("192.0.2.1:12345", "198.51.100.2:443");
        assert_eq!(line("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443"), Ok(expected));
        let expected = announced("[2001:db8::1]:1", "[::1]:0");
        assert_eq!(line("PROXY TCP6 2001:db8::1 ::1 1 0"), Ok(expected));
        for unknown in ["PROXY UNKNOWN", "PROXY UNKNOWN ffff:f ffff 65535 65535"] {
            assert_eq!(line(unknown), Ok(Announced::default()), "{unknown}");
        }
    }

    #[test]
    fn a_line_that_is_not_exact_is_refused() {
        for text in [
            "PROXY",
            "PROXY TCP4",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1 2",
            "PROXY TCP4 2001:db8::1 ::1 1 2",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2",
        ] {
            assert!(read_line(format!("{text}\r\n").as_bytes()).is_err(), "{text}");
        }
        assert_eq!(read_line(b"PROXY UNKNOWN\n"), Err(MalformedHeader::LineEnd));
    }

    #[test]
    fn a_local_header_says_nothing_whatever_it_holds() {
        for (family, rest) in [(0x00, &[][..]), (0x11, &ADDRESSES), (0xff, &[1, 2, 3])] {
            let local = Announced { speaker: Speaker::Itself, is_secure: false };
            assert_eq!(read_binary(&binary(0x20, family, rest)), Ok(local));
        }
    }

    #[test]
    fn a_binary_header_names_both_ends() {
        let expected = announced("192.0.2.1:12345", "198.51.100.2:443");
        assert_eq!(read_binary(&binary(0x21, 0x11, &ADDRESSES)), Ok(expected));
        assert_eq!(read_binary(&binary(0x21, 0x31, &[1; 216])), Ok(Announced::default()));
        for other in [0x00, 0x01, 0x12, 0x41] {
            assert_eq!(read_binary(&binary(0x21, other, &[])), Ok(Announced::default()));
        }
    }

    #[test]
    fn a_binary_header_that_is_not_exact_is_refused() {
        for (command, family, length, why) in [
            (0x11, 0x11, 12, MalformedHeader::Version),
            (0x22, 0x11, 12, MalformedHeader::Command),
            (0x21, 0x11, 11, MalformedHeader::TooShort),
            (0x21, 0x21, 35, MalformedHeader::TooShort),
            (0x21, 0x31, 215, MalformedHeader::TooShort),
            (0x21, 0x11, 13, MalformedHeader::Attribute),
        ] {
            let header = binary(command, family, &vec![0; length]);
            assert_eq!(read_binary(&header), Err(why), "{command:x} {family:x} {length}");
        }
        let too_long = binary(0x21, 0x11, &[0; HEADER_BYTES_MAX]);
        assert_eq!(rest_of(too_long.first_chunk().unwrap()), Err(MalformedHeader::TooLong));
    }

    #[test]
    fn the_attribute_of_tls_is_believed_and_others_are_passed_over() {
        for (client, is_secure) in [(0x01, true), (0x07, true), (0x00, false), (0x06, false)] {
            let mut rest = ADDRESSES.to_vec();
            rest.extend([0x01, 0, 2, b'h', b'2']); // ALPN
            rest.extend([TLS, 0, 5, client, 0, 0, 0, 0]);
            rest.extend([0xea, 0, 1, 7]); // a vendor's
            let read = read_binary(&binary(0x21, 0x11, &rest)).unwrap();
            assert_eq!(read.is_secure, is_secure);
            assert!(matches!(read.speaker, Speaker::Client(..)));
        }
        let mut cut = ADDRESSES.to_vec();
        cut.extend([TLS, 0, 9, 1]);
        assert_eq!(read_binary(&binary(0x21, 0x11, &cut)), Err(MalformedHeader::Attribute));
    }

    #[test]
    fn a_checksum_that_is_there_must_match() {
        let mut rest = ADDRESSES.to_vec();
        rest.extend([CHECKSUM, 0, 4, 0, 0, 0, 0, 0x04, 0, 1, 9]);
        let mut header = binary(0x21, 0x11, &rest);
        let sum = crc32c::crc32c(&header);
        let place = header.len() - 8;
        for (byte, shift) in header[place..place + 4].iter_mut().zip([24, 16, 8, 0]) {
            *byte = (sum >> shift & 0xff) as u8;
        }
        assert!(read_binary(&header).is_ok());
        let kind = place - 3;
        for place in (16..header.len()).filter(|place| *place != kind) {
            let mut other = header.clone();
            other[place] ^= 0x10;
            assert!(read_binary(&other).is_err(), "byte {place}");
        }
    }

    #[test]
    fn the_beginning_decides_as_soon_as_it_can() {
        for prefix in [PREFIX_1, PREFIX_2] {
            for length in 0..prefix.len() {
                assert_eq!(Beginning::of(&prefix[..length]), Beginning::Undecided);
            }
        }
        assert_eq!(Beginning::of(b"PROXY TCP4"), Beginning::Version1);
        assert_eq!(Beginning::of(b"\r\n\r\n\0\r\nQUIT\n\x21"), Beginning::Version2);
        for other in [&b"GET "[..], b"PRI", b"PROXYX", b"\r\nGET", b"\x16\x03"] {
            assert_eq!(Beginning::of(other), Beginning::Other);
        }
    }

    proptest! {
        #[test]
        fn lines_of_any_addresses_are_read(source: SocketAddr, destination: SocketAddr) {
            let family = match (source, destination) {
                (SocketAddr::V4(_), SocketAddr::V4(_)) => "TCP4",
                (SocketAddr::V6(_), SocketAddr::V6(_)) => "TCP6",
                _ => return Ok(()),
            };
            let (from, to) = (source.ip(), destination.ip());
            let (source_port, port) = (source.port(), destination.port());
            let line = format!("PROXY {family} {from} {to} {source_port} {port}\r\n");
            prop_assume!(line.len() <= LINE_BYTES_MAX);
            let speaker = read_line(line.as_bytes()).unwrap().speaker;
            let (from, to) = (SocketAddr::new(from, source_port), SocketAddr::new(to, port));
            prop_assert_eq!(speaker, Speaker::Client(from, to));
        }

        #[test]
        fn headers_that_another_program_writes_are_read(
            source: SocketAddr,
            destination: SocketAddr,
            attributes in proptest::collection::vec((4_u8..0x20, ".{0,20}"), 0..4),
        ) {
            let mut builder = Builder::with_addresses(
                Version::Two | Command::Proxy,
                Protocol::Stream,
                (source, destination),
            );
            for (kind, value) in &attributes {
                builder = builder.write_tlv(*kind, value.as_bytes()).unwrap();
            }
            let header = builder.build().unwrap();
            let read = read_binary(&header).unwrap();
            let is_mixed = source.is_ipv4() != destination.is_ipv4();
            let without_scope = |end: SocketAddr| SocketAddr::new(end.ip(), end.port());
            let expected = Speaker::Client(without_scope(source), without_scope(destination));
            prop_assert!(is_mixed || read.speaker == expected);
        }

        #[test]
        fn no_bytes_do_any_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _line = read_line(&bytes);
            let _binary = read_binary(&bytes);
            let mut header = PREFIX_2.to_vec();
            header.extend(&bytes);
            let _whole = read_binary(&header);
        }
    }
}
