//! HTML as text: what comes from outside is escaped.

use std::fmt::{self, Display, Write as _};

/// A text that stands in HTML, in an element or in a quoted attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(formatter), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A table with a title for each column; columns from the second on hold numbers.
pub(crate) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let class = |at: usize| if at == 0 { "" } else { " class=\"n\"" };
    let mut text = String::from("<div class=\"scroll\"><table><thead><tr>");
    for (at, title) in titles.iter().enumerate() {
        let _infallible = write!(text, "<th scope=\"col\"{}>{}</th>", class(at), Escaped(title));
    }
    text.push_str("</tr></thead><tbody>");
    for row in rows {
        text.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let _infallible = write!(text, "<td{}>{}</td>", class(at), Escaped(cell));
        }
        text.push_str("</tr>\n");
    }
    text + "</tbody></table></div>"
}

/// A card with a name and content.
pub(crate) fn card(title: &str, width: &str, content: &str) -> String {
    format!("<section class=\"card {width}\"><h2>{}</h2>{content}</section>\n", Escaped(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        let hostile = "<script>alert('1')</script> & \"";
        let escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;";
        assert_eq!(Escaped(hostile).to_string(), escaped);
        let row = vec![hostile.to_owned()];
        assert!(!table(&[hostile], &[row]).contains("<script"));
        assert!(!card(hostile, "", "").contains("<script"));
    }
}
