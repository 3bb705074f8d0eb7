//! `DeviceClass`: the kind of device that a client says it is.

/// A kind of device, as far as layouts differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// A telephone.
    Mobile,
    /// A tablet.
    Tablet,
    /// Everything else.
    Desktop,
}

impl DeviceClass {
    /// Returns the word for it in settings and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
        }
    }
}

pub(super) const DEVICES: [(&str, DeviceClass); 3] = [
    ("mobile", DeviceClass::Mobile),
    ("tablet", DeviceClass::Tablet),
    ("desktop", DeviceClass::Desktop),
];
