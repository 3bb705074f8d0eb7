//! What a VCL file says: its objects, subroutines, statements and expressions.

/// A file. What could not be read is in `unread`, with its line.
#[derive(Debug, Default)]
pub(crate) struct VclFile {
    /// 4 unless the file says otherwise.
    pub(crate) is_version_3: bool,
    pub(crate) objects: Vec<VclObject>,
    pub(crate) acls: Vec<VclAcl>,
    /// In their order; of one name, several are one after the other.
    pub(crate) subroutines: Vec<VclSubroutine>,
    pub(crate) unread: Vec<(usize, String)>,
    /// Statements at the top: `import`, `include`.
    pub(crate) other: Vec<(usize, String)>,
}

/// A backend, a probe, or a director of VCL 3.
#[derive(Debug)]
pub(crate) struct VclObject {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Of a director of VCL 3.
    pub(crate) policy: String,
    pub(crate) properties: Vec<VclProperty>,
}

#[derive(Debug)]
pub(crate) struct VclProperty {
    /// With its dot; empty for a member of a director.
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) values: Vec<VclExpression>,
    /// Those of an object that is written in place.
    pub(crate) inside: Vec<Self>,
}

#[derive(Debug)]
pub(crate) struct VclAcl {
    pub(crate) name: String,
    pub(crate) entries: Vec<AclEntry>,
}

#[derive(Debug)]
pub(crate) struct AclEntry {
    pub(crate) line: usize,
    pub(crate) is_excluded: bool,
    pub(crate) address: String,
    pub(crate) bits: Option<String>,
}

#[derive(Debug)]
pub(crate) struct VclSubroutine {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) body: Vec<VclStatement>,
}

#[derive(Debug)]
pub(crate) struct VclStatement {
    pub(crate) line: usize,
    /// Its first line as it was written.
    pub(crate) text: String,
    pub(crate) action: VclAction,
}

#[derive(Debug)]
pub(crate) enum VclAction {
    If(Vec<VclBranch>),
    Set { target: String, is_plain: bool, value: VclExpression },
    Unset(String),
    Return { action: String, arguments: Vec<VclExpression> },
    Call(String),
    Invoke { function: String, arguments: Vec<VclExpression> },
    New { name: String, constructor: String },
    Other,
}

#[derive(Debug)]
pub(crate) struct VclBranch {
    pub(crate) line: usize,
    pub(crate) text: String,
    /// `None` is `else`.
    pub(crate) condition: Option<VclExpression>,
    pub(crate) body: Vec<VclStatement>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum VclExpression {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Compare(Box<Self>, String, Box<Self>),
    /// One text or number after the other.
    Sum(Vec<Self>),
    /// Multiplied, divided or subtracted.
    Arithmetic,
    Call(String, Vec<Self>),
    Name(String),
    Text(String),
    Number(String),
}

impl VclExpression {
    /// Returns the name in lower case: those of variables and fields are not case-sensitive here.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of texts alone, one after the other.
    pub(crate) fn literal(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Sum(parts) => parts.iter().map(Self::literal).collect(),
            _ => None,
        }
    }

    /// Returns every variable that it looks at, in lower case.
    pub(crate) fn variables(&self) -> Vec<String> {
        match self {
            Self::Any(parts) | Self::All(parts) | Self::Sum(parts) | Self::Call(_, parts) => {
                parts.iter().flat_map(Self::variables).collect()
            }
            Self::Not(inner) => inner.variables(),
            Self::Compare(left, _, right) => {
                let mut names = left.variables();
                names.extend(right.variables());
                names
            }
            Self::Name(name) => vec![name.to_ascii_lowercase()],
            Self::Text(_) | Self::Number(_) | Self::Arithmetic => Vec::new(),
        }
    }
}

impl VclStatement {
    /// Returns it and all statements in it that are no `if`.
    pub(crate) fn leaves(&self) -> Vec<&Self> {
        match &self.action {
            VclAction::If(branches) => {
                branches.iter().flat_map(|branch| &branch.body).flat_map(Self::leaves).collect()
            }
            _ => vec![self],
        }
    }
}

impl VclBranch {
    /// Returns whether nothing after it is reached from it.
    pub(crate) fn ends(&self) -> bool {
        self.body.last().is_some_and(|last| matches!(last.action, VclAction::Return { .. }))
    }
}
