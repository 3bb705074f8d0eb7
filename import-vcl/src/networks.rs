//! ACLs as networks.

use std::net::IpAddr;

use crate::draft::ConfigDraft;
use crate::remark::StatementFate;
use crate::syntax::{AclEntry, VclFile};

/// Reads every ACL. One with an entry that has no equivalent is no network: leaving the entry out
/// might allow too much.
pub(crate) fn read(file: &VclFile, draft: &mut ConfigDraft) {
    for acl in &file.acls {
        let mut networks = Some(Vec::new());
        for entry in &acl.entries {
            let text = shown(entry);
            let found = match network(entry) {
                Ok(found) => found,
                Err(why) => {
                    draft.not_translated(entry.line, &text, why);
                    networks = None;
                    continue;
                }
            };
            draft.note(entry.line, &text, StatementFate::Translated);
            if let Some(networks) = &mut networks {
                networks.extend(found);
            }
        }
        draft.networks.insert(acl.name.clone(), networks);
    }
}

fn shown(entry: &AclEntry) -> String {
    let AclEntry { is_excluded, address, bits, .. } = entry;
    let bits = bits.as_ref().map(|bits| format!("/{bits}")).unwrap_or_default();
    format!("{}\"{address}\"{bits}", if *is_excluded { "! " } else { "" })
}

fn network(entry: &AclEntry) -> Result<Vec<String>, &'static str> {
    if entry.is_excluded {
        return Err("lists of networks have no exceptions: name the others one by one");
    }
    if entry.address == "localhost" {
        return Ok(vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()]);
    }
    let (address, inside) = match entry.address.split_once('/') {
        Some((address, bits)) => (address, Some(bits.to_owned())),
        None => (entry.address.as_str(), entry.bits.clone()),
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_not_an_address| "networks are numbers: the addresses of this name")?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match inside {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or("no length")?,
        None => most,
    };
    Ok(vec![format!("{}/{bits}", first(address, bits))])
}

/// Returns the first address of a network: VCL does not mind bits behind its length.
fn first(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}
