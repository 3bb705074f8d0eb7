//! The modes of files.

use super::Fault;

/// Reads a mode in octal digits, as text.
pub(crate) fn file_mode(text: &str) -> Result<u32, Fault> {
    let fault = |label: &str| {
        let wants = "must be a file's mode in octal digits, from 0000 to 0777";
        Fault::new(wants, label)
            .help("\"0660\" for the owner and the group, \"0666\" for everybody")
    };
    if !(3..=4).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault("not three or four digits"));
    }
    let mode = u32::from_str_radix(text, 8).map_err(|_no_octal| fault("a digit above 7"))?;
    if mode <= 0o777 { Ok(mode) } else { Err(fault("out of range")) }
}

#[cfg(test)]
mod tests {
    use super::file_mode;

    #[test]
    fn modes_are_octal() {
        assert_eq!(file_mode("0660").unwrap(), 0o660);
        assert_eq!(file_mode("666").unwrap(), 0o666);
        for text in ["", "66", "0o660", "0680", "1777", "rw-rw----", "00660"] {
            assert!(file_mode(text).is_err(), "{text}");
        }
    }
}
