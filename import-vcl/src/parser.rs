//! Reads VCL 3 and 4. What cannot be read is passed by, up to the end of the statement or block.

use crate::syntax::{
    AclEntry, VclAcl, VclAction, VclBranch, VclExpression, VclFile, VclObject, VclProperty,
    VclStatement, VclSubroutine,
};
use crate::token::{TokenKind, VclToken, tokens};

pub(crate) fn parse(text: &str) -> VclFile {
    let mut parser = VclParser { text, tokens: tokens(text), at: 0, depth: 0, unread: Vec::new() };
    let mut file = VclFile::default();
    while parser.peek().is_some() {
        let start = parser.at;
        if parser.item(&mut file).is_none() {
            parser.pass_by(start);
        }
    }
    file.unread = parser.unread;
    file
}

struct VclParser<'t> {
    text: &'t str,
    tokens: Vec<VclToken<'t>>,
    at: usize,
    depth: usize,
    unread: Vec<(usize, String)>,
}

impl<'t> VclParser<'t> {
    fn peek(&self) -> Option<VclToken<'t>> {
        self.tokens.get(self.at).copied()
    }

    fn peek_after(&self) -> Option<VclToken<'t>> {
        self.tokens.get(self.at + 1).copied()
    }

    fn take(&mut self) -> Option<VclToken<'t>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn is_sign(&self, sign: &str) -> bool {
        self.peek().is_some_and(|token| token.kind == TokenKind::Sign && token.text == sign)
    }

    fn accept(&mut self, sign: &str) -> bool {
        let is_there = self.is_sign(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, sign: &str) -> Option<()> {
        self.accept(sign).then_some(())
    }

    fn name(&mut self) -> Option<&'t str> {
        let token = self.peek().filter(|token| token.kind == TokenKind::Name)?;
        self.at += 1;
        Some(token.text)
    }

    /// Returns the line of a token, and its source's line from there on.
    fn place(&self, at: usize) -> (usize, String) {
        let Some(token) = self.tokens.get(at) else { return (0, String::new()) };
        let rest = self.text.get(token.start..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default().trim();
        (token.line, line.chars().take(SHOWN_MAX).collect())
    }

    /// Returns the same, up to the token before this one.
    fn read_text(&self, start: usize) -> String {
        let first = self.tokens.get(start).map_or(0, |token| token.start);
        let end = self.tokens.get(self.at.saturating_sub(1)).map_or(first, |token| token.end);
        let text = self.text.get(first..end).unwrap_or_default();
        text.lines().next().unwrap_or_default().chars().take(SHOWN_MAX).collect()
    }

    /// Goes on after the statement or block that begins at a token, and notes it.
    fn pass_by(&mut self, start: usize) {
        self.unread.push(self.place(start));
        self.at = start;
        let mut depth = 0_usize;
        while let Some(token) = self.take() {
            match (token.kind, token.text) {
                (TokenKind::Sign, "{") => depth += 1,
                (TokenKind::Sign, "}") => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return;
                    }
                }
                (TokenKind::Sign, ";") if depth == 0 => return,
                _ => {}
            }
        }
    }

    fn item(&mut self, file: &mut VclFile) -> Option<()> {
        let (line, text) = self.place(self.at);
        let token = self.take()?;
        if token.kind == TokenKind::Inline {
            file.other.push((line, text));
            return Some(());
        }
        match token.text {
            "vcl" => {
                file.is_version_3 = self.take()?.text.starts_with('3');
                self.expect(";")
            }
            "import" | "include" => {
                file.other.push((line, text));
                while self.take()?.text != ";" {}
                Some(())
            }
            "acl" => {
                let acl = self.acl()?;
                file.acls.push(acl);
                Some(())
            }
            "sub" => {
                let name = self.name()?.to_owned();
                let body = self.block()?;
                file.subroutines.push(VclSubroutine { name, line, body });
                Some(())
            }
            kind @ ("backend" | "probe" | "director") => {
                let name = self.name()?.to_owned();
                let policy =
                    if kind == "director" { self.name()?.to_owned() } else { String::new() };
                let has_none = self.peek().is_some_and(|token| token.text == "none");
                let properties = if has_none {
                    self.at += 1;
                    self.expect(";")?;
                    Vec::new()
                } else {
                    self.properties()?
                };
                file.objects.push(VclObject {
                    kind: kind.to_owned(),
                    name,
                    line,
                    policy,
                    properties,
                });
                Some(())
            }
            _ => None,
        }
    }

    fn acl(&mut self) -> Option<VclAcl> {
        let name = self.name()?.to_owned();
        while !self.accept("{") {
            self.take()?; // flags, such as +log
        }
        let mut entries = Vec::new();
        while !self.accept("}") {
            let line = self.peek()?.line;
            let is_excluded = self.accept("!");
            let is_optional = self.accept("(");
            let token = self.take()?;
            let address = (token.kind == TokenKind::Text).then(|| token.text.to_owned())?;
            let bits = if self.accept("/") { Some(self.take()?.text.to_owned()) } else { None };
            if is_optional {
                self.expect(")")?;
            }
            self.expect(";")?;
            entries.push(AclEntry { line, is_excluded, address, bits });
        }
        Some(VclAcl { name, entries })
    }

    fn properties(&mut self) -> Option<Vec<VclProperty>> {
        self.deeper(|parser| {
            parser.expect("{")?;
            let mut properties = Vec::new();
            while !parser.accept("}") {
                let start = parser.at;
                let (line, _) = parser.place(start);
                if parser.is_sign("{") {
                    let inside = parser.properties()?;
                    let (name, text) = (String::new(), String::new());
                    properties.push(VclProperty { name, line, text, values: Vec::new(), inside });
                    continue;
                }
                let name = parser.name()?.to_owned();
                parser.expect("=")?;
                let (mut values, mut inside) = (Vec::new(), Vec::new());
                if parser.is_sign("{") {
                    inside = parser.properties()?;
                    parser.accept(";");
                } else {
                    while !parser.accept(";") {
                        values.push(parser.primary()?);
                    }
                }
                let text = parser.read_text(start);
                properties.push(VclProperty { name, line, text, values, inside });
            }
            Some(properties)
        })
    }

    /// Does something one level deeper; nothing is read below the deepest one.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn block(&mut self) -> Option<Vec<VclStatement>> {
        self.deeper(|parser| {
            parser.expect("{")?;
            let mut body = Vec::new();
            while !parser.accept("}") {
                let start = parser.at;
                parser.peek()?;
                let (line, _) = parser.place(start);
                match parser.action() {
                    Some(action) => {
                        let text = parser.read_text(start);
                        body.push(VclStatement { line, text, action });
                    }
                    None => parser.pass_by(start),
                }
            }
            Some(body)
        })
    }

    fn action(&mut self) -> Option<VclAction> {
        let token = self.take()?;
        if token.kind == TokenKind::Inline {
            return Some(VclAction::Other);
        }
        if token.kind == TokenKind::Sign {
            return (token.text == ";").then_some(VclAction::Other);
        }
        let action = match token.text {
            "if" => return self.branches(token.line),
            "set" => {
                let target = self.name()?.to_owned();
                let operator = self.take()?.text;
                let is_plain = match operator {
                    "=" => true,
                    "+=" | "-=" | "*=" | "/=" => false,
                    _ => return None,
                };
                VclAction::Set { target, is_plain, value: self.expression()? }
            }
            "unset" | "remove" => VclAction::Unset(self.name()?.to_owned()),
            "call" => VclAction::Call(self.name()?.to_owned()),
            "return" => self.returned()?,
            "purge" => VclAction::Return { action: "purge".to_owned(), arguments: Vec::new() },
            "error" => {
                let mut arguments = Vec::new();
                while !self.is_sign(";") {
                    arguments.push(self.primary()?);
                }
                VclAction::Return { action: "synth".to_owned(), arguments }
            }
            "new" => {
                let name = self.name()?.to_owned();
                self.expect("=")?;
                let constructor = self.name()?.to_owned();
                self.arguments()?;
                VclAction::New { name, constructor }
            }
            "esi" => VclAction::Other,
            function if token.kind == TokenKind::Name => {
                let arguments = if self.is_sign("(") {
                    self.arguments()?
                } else {
                    vec![self.expression()?] // synthetic "text"
                };
                VclAction::Invoke { function: function.to_owned(), arguments }
            }
            _ => return None,
        };
        if self.accept("(") {
            self.expect(")")?; // call name();
        }
        self.expect(";")?;
        Some(action)
    }

    /// `return (name)`, `return (name(arguments))`, or none.
    fn returned(&mut self) -> Option<VclAction> {
        if self.is_sign(";") {
            return Some(VclAction::Return { action: String::new(), arguments: Vec::new() });
        }
        self.expect("(")?;
        let action = self.name()?.to_owned();
        let arguments = if self.is_sign("(") { self.arguments()? } else { Vec::new() };
        self.expect(")")?;
        Some(VclAction::Return { action, arguments })
    }

    fn branches(&mut self, line: usize) -> Option<VclAction> {
        let mut branches = Vec::new();
        let (mut line, mut start) = (line, self.at.saturating_sub(1));
        loop {
            self.expect("(")?;
            let condition = Some(self.expression()?);
            self.expect(")")?;
            let text = self.read_text(start);
            let body = self.block()?;
            branches.push(VclBranch { line, text, condition, body });
            let word = self.peek().filter(|token| token.kind == TokenKind::Name);
            start = self.at;
            line = self.place(start).0;
            let after = self.peek_after().map_or("", |token| token.text);
            match word.map(|token| token.text) {
                Some("elseif" | "elsif" | "elif") => self.at += 1,
                Some("else") if after == "if" => self.at += 2,
                Some("else") => {
                    self.at += 1;
                    let text = "else".to_owned();
                    let body = self.block()?;
                    branches.push(VclBranch { line, text, condition: None, body });
                    return Some(VclAction::If(branches));
                }
                _ => return Some(VclAction::If(branches)),
            }
        }
    }

    fn arguments(&mut self) -> Option<Vec<VclExpression>> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.accept(")") {
            let is_named = self.peek().is_some_and(|token| token.kind == TokenKind::Name)
                && self.peek_after().is_some_and(|token| token.text == "=");
            if is_named {
                self.at += 2;
            }
            arguments.push(self.expression()?);
            if !self.is_sign(")") {
                self.expect(",")?;
            }
        }
        Some(arguments)
    }

    fn expression(&mut self) -> Option<VclExpression> {
        self.deeper(|parser| {
            let first = parser.all()?;
            let mut parts = vec![first];
            while parser.accept("||") {
                parts.push(parser.all()?);
            }
            Some(one_or(parts, VclExpression::Any))
        })
    }

    fn all(&mut self) -> Option<VclExpression> {
        let first = self.comparison()?;
        let mut parts = vec![first];
        while self.accept("&&") {
            parts.push(self.comparison()?);
        }
        Some(one_or(parts, VclExpression::All))
    }

    fn comparison(&mut self) -> Option<VclExpression> {
        if self.accept("!") {
            let inner = self.deeper(Self::comparison)?;
            return Some(VclExpression::Not(Box::new(inner)));
        }
        let left = self.sum()?;
        let operator = self.peek().filter(|token| token.kind == TokenKind::Sign);
        let Some(operator) = operator.map(|token| token.text).filter(|it| COMPARISONS.contains(it))
        else {
            return Some(left);
        };
        self.at += 1;
        let right = self.sum()?;
        Some(VclExpression::Compare(Box::new(left), operator.to_owned(), Box::new(right)))
    }

    fn sum(&mut self) -> Option<VclExpression> {
        let first = self.primary()?;
        let mut parts = vec![first];
        let mut is_arithmetic = false;
        loop {
            let is_next = self
                .peek()
                .is_some_and(|token| matches!(token.kind, TokenKind::Text | TokenKind::Name));
            let is_other = self.is_sign("-") || self.is_sign("*") || self.is_sign("/");
            if !self.accept("+") && !is_next && !is_other {
                break;
            }
            if is_other {
                self.at += 1;
                is_arithmetic = true;
            }
            parts.push(self.primary()?);
        }
        if is_arithmetic {
            return Some(VclExpression::Arithmetic);
        }
        Some(one_or(parts, VclExpression::Sum))
    }

    fn primary(&mut self) -> Option<VclExpression> {
        if self.accept("(") {
            let inner = self.expression()?;
            self.expect(")")?;
            return Some(inner);
        }
        if self.accept("-") {
            self.take()?;
            return Some(VclExpression::Arithmetic);
        }
        let token = self.take()?;
        match token.kind {
            TokenKind::Text => Some(VclExpression::Text(token.text.to_owned())),
            TokenKind::Number => Some(VclExpression::Number(token.text.to_owned())),
            TokenKind::Name if self.is_sign("(") => {
                let arguments = self.deeper(Self::arguments)?;
                Some(VclExpression::Call(token.text.to_owned(), arguments))
            }
            TokenKind::Name => Some(VclExpression::Name(token.text.to_owned())),
            TokenKind::Sign | TokenKind::Inline => None,
        }
    }
}

fn one_or(
    mut parts: Vec<VclExpression>,
    many: fn(Vec<VclExpression>) -> VclExpression,
) -> VclExpression {
    match (parts.len(), parts.pop()) {
        (1, Some(one)) => one,
        (_, Some(last)) => {
            parts.push(last);
            many(parts)
        }
        (_, None) => VclExpression::Arithmetic,
    }
}

const COMPARISONS: [&str; 8] = ["==", "!=", "~", "!~", "<", ">", "<=", ">="];
/// Levels of blocks and expressions; deeper ones are not read.
const DEPTH_MAX: usize = 64;
/// Characters of a statement that a report shows.
const SHOWN_MAX: usize = 100;
