//! `/api/v1/config`: the settings that hold, and where each comes from. Secrets are masked.

use serde_json::{Value, json};

use crate::app::App;
use settings::EffectiveSetting;

pub(super) fn document(app: &App) -> Value {
    let (hash, ..) = app.reloads.summary();
    let effective = app.reloads.effective();
    let setting = |EffectiveSetting { setting, value, source }: &EffectiveSetting| json!({"setting": setting, "value": value, "source": source});
    json!({"hash": hash, "settings": effective.iter().map(setting).collect::<Vec<_>>()})
}

pub(super) const PATH: &str = "/api/v1/config";
