//! `key.device`: the kinds of devices that are told apart.

/// The kinds of devices that are told apart. The origin is told the kind in `X-UA-Device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceVariants {
    /// None: pages are the same for all.
    #[default]
    Off,
    /// Telephones, and all others.
    MobileDesktop,
    /// Telephones, tablets, and all others.
    MobileTabletDesktop,
}

pub(super) const DEVICE_VARIANTS: [(&str, DeviceVariants); 3] = [
    ("off", DeviceVariants::Off),
    ("mobile|desktop", DeviceVariants::MobileDesktop),
    ("mobile|tablet|desktop", DeviceVariants::MobileTabletDesktop),
];
