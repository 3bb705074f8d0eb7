//! Built-in lists of names: cookies and parameters that are the same on most sites.
//!
//! A name is listed if it means one thing wherever it occurs. Names that sites use for something of
//! their own (`ref`, `source`, `cid`, `session_id` as a parameter) are for the operator to list.

/// Returns the names of a list.
pub(super) fn built_in(list: &str) -> Option<&'static [&'static str]> {
    BUILT_IN.iter().find(|(name, _)| *name == list).map(|(_, names)| *names)
}

pub(super) const BUILT_IN: [(&str, &[&str]); 5] = [
    ("@analytics", ANALYTICS),
    ("@consent", CONSENT),
    ("@session", SESSION),
    ("@preview", PREVIEW),
    ("@tracking", TRACKING),
];

/// Cookies that scripts set for themselves and that no server rendering depends on.
const ANALYTICS: &[&str] = &[
    "_ga", // Google Analytics
    "_ga_*",
    "_gid",
    "_gat*",
    "_gac_*",
    "FPLC",
    "_gcl_*", // Google Ads
    "__gads",
    "__gpi",
    "__eoi",
    "__utm*", // Urchin
    "_dc_gtm_*",
    "_fbp", // Meta
    "_fbc",
    "_hj*",  // Hotjar
    "_pk_*", // Matomo
    "mtm_*",
    "ajs_*", // Segment
    "mp_*",  // Mixpanel
    "amplitude_*",
    "AMP_*",
    "ph_phc_*", // PostHog
    "_clck",    // Microsoft Clarity
    "_clsk",
    "_uet*", // Microsoft Ads
    "_ttp",  // TikTok
    "_tt_enable_cookie",
    "ttcsid*",
    "_scid*",    // Snapchat
    "_pin_*",    // Pinterest
    "_rdt_*",    // Reddit
    "_twclid",   // X
    "li_fat_id", // LinkedIn
    "hubspotutk",
    "__hs*",
    "_mkto_trk",
    "__kla_id", // Klaviyo
    "_vwo*",    // VWO
    "_vis_opt_*",
    "s_cc", // Adobe Analytics
    "s_sq",
    "s_fid",
    "s_vi",
    "AMCV_*",
    "AMCVS_*",
    "_parsely_*",
    "_chartbeat*",
    "_cb",
    "_cb_ls",
    "_cb_svref",
    "_sp_id.*", // Snowplow
    "_sp_ses.*",
    "__qca", // Quantcast
    "optimizelyEndUserId",
    "nmstat",  // Siteimprove
    "__cf_bm", // Cloudflare in front: for its own eyes
    "_cfuvid",
    "cf_clearance",
    "__cfruid",
];

/// Answers to a cookie banner, which scripts read and write.
const CONSENT: &[&str] = &[
    "OptanonConsent", // OneTrust
    "OptanonAlertBoxClosed",
    "OneTrustWPCCPAGoogleOptOut",
    "CookieConsent", // Cookiebot
    "CookieConsentBulkSetting-*",
    "cookieconsent_status", // Osano
    "euconsent",            // IAB TCF
    "euconsent-v2",
    "eupubconsent",
    "eupubconsent-v2",
    "addtl_consent",
    "usprivacy",
    "didomi_token",
    "borlabs-cookie",
    "cookielawinfo-*", // CookieYes
    "cookieyes-consent",
    "viewed_cookie_policy",
    "cmplz_*", // Complianz
    "moove_gdpr_popup",
    "CookieControl", // Civic
    "cc_cookie",
    "cookie_notice_accepted",
    "notice_behavior", // TrustArc
    "notice_gdpr_prefs",
    "notice_preferences",
    "cmapi_cookie_privacy",
    "cmapi_gtm_bl",
    "TAconsentID",
    "_iub_cs-*",           // iubenda
    "uc_user_interaction", // Usercentrics
    "axeptio_*",
    "hs-eu-cookie-consent",
    "FCCDCF", // Google Funding Choices
    "FCNEC",
    "_sp_v1_*", // Sourcepoint
    "consentUUID",
    "cookie-agreed", // Drupal EU Cookie Compliance
    "cookie-agreed-*",
    "tarteaucitron",
    "klaro",
    "user_allowed_save_cookie", // Magento
];

/// Cookies that say who somebody is, or hold what only they may see.
const SESSION: &[&str] = &[
    "PHPSESSID",
    "JSESSIONID",
    "connect.sid", // Express
    "koa.sess",
    "koa.sid",
    "sessionid", // Django
    "laravel_session",
    "ci_session",
    "CAKEPHP",
    "_session_id", // Rails
    "rack.session",
    "session", // Flask
    "session_id",
    "sessid",
    "sid",
    "ASP.NET_SessionId",
    "ASPSESSIONID*",
    ".ASPXAUTH",
    ".AspNetCore.*",
    ".AspNet.*",
    "next-auth.session-token*",
    "__Secure-next-auth.session-token*",
    "authjs.session-token*",
    "__Secure-authjs.session-token*",
    "better-auth.session_token",
    "__Secure-better-auth.session_token",
    "__session", // Clerk, Firebase, Remix
    "appSession",
    "nuxt-session",
    "access_token",
    "refresh_token",
    "auth_token",
    "jwt",
    "remember_token",
    "remember_web_*", // Laravel
    "REMEMBERME",     // Symfony
    "wordpress_logged_in_*",
    "wordpress_sec_*",
    "wp-postpass_*",
    "wp_woocommerce_session_*",
    "woocommerce_items_in_cart",
    "woocommerce_cart_hash",
    "comment_author_*",
    "edd_items_in_cart",
    "SESS*", // Drupal
    "SSESS*",
    "be_typo_user", // TYPO3
    "fe_typo_user",
    "frontend", // Magento 1
    "adminhtml",
    "external_no_cache",
    "session-*", // Shopware
    "sw-states",
    "CraftSessionId",
    "MoodleSession*",
    "CFID", // ColdFusion
    "CFTOKEN",
    "mod_auth_openidc_session",
    "_oauth2_proxy*",
];

/// Cookies that ask for what is not published yet.
const PREVIEW: &[&str] = &[
    "__prerender_bypass", // Next.js
    "__next_preview_data",
    "io.prismic.preview*",
    "sanity-preview-*",
    "NO_CACHE", // Drupal
    "wp-preview-*",
];

/// Parameters of campaigns, ads and newsletters, which scripts in the page read. Those of affiliate
/// networks are not among them: servers read these.
const TRACKING: &[&str] = &[
    "utm_*",
    "gclid", // Google
    "gclsrc",
    "gbraid",
    "wbraid",
    "dclid",
    "gad_source",
    "gad_campaignid",
    "srsltid",
    "_ga",
    "_gl",
    "fbclid", // Meta
    "fb_action_ids",
    "fb_action_types",
    "fb_source",
    "igshid",
    "igsh",
    "msclkid", // Microsoft
    "ttclid",  // TikTok
    "twclid",  // X
    "li_fat_id",
    "rdt_cid", // Reddit
    "epik",    // Pinterest
    "ScCid",   // Snapchat
    "yclid",   // Yandex
    "ysclid",
    "ymclid",
    "_openstat",
    "ndclid",
    "qclid",
    "tblci",  // Taboola
    "dicbo",  // Outbrain
    "mc_cid", // Mailchimp
    "mc_eid",
    "_hsenc", // HubSpot
    "_hsmi",
    "__hssc",
    "__hstc",
    "__hsfp",
    "hsCtaTracking",
    "hsa_*",
    "mkt_tok", // Marketo
    "_kx",     // Klaviyo
    "_ke",
    "vero_id",
    "vero_conv",
    "oly_anon_id", // Omeda
    "oly_enc_id",
    "ml_subscriber", // MailerLite
    "ml_subscriber_hash",
    "_bta_tid", // Bronto
    "_bta_c",
    "trk_contact", // Listrak
    "trk_msg",
    "trk_module",
    "trk_sid",
    "bsft_*", // Blueshift
    "dm_i",   // Dotdigital
    "wickedid",
    "rb_clickid",
    "s_cid", // Adobe
    "s_kwcid",
    "ef_id",
    "pk_campaign", // Matomo
    "pk_kwd",
    "pk_keyword",
    "pk_source",
    "pk_medium",
    "pk_content",
    "pk_cid",
    "mtm_*",
    "piwik_*",
    "at_campaign", // Piano
    "at_medium",
    "at_custom*",
    "xtor",
    "wt_mc", // Webtrekk
    "wt_zmc",
    "guce_referrer", // Yahoo
    "guce_referrer_sig",
    "guccounter",
    "_branch_match_id",
    "_branch_referrer",
];

#[cfg(test)]
mod tests {
    use super::BUILT_IN;

    #[test]
    fn every_list_is_of_names_each_once() {
        for (list, names) in BUILT_IN {
            for (at, name) in names.iter().enumerate() {
                let bare = name.strip_suffix('*').unwrap_or(name);
                let is_name =
                    bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
                assert!(is_name && bare.len() > 1, "{list}: {name}");
                assert!(
                    !names.iter().take(at).any(|earlier| earlier == name),
                    "{list}: {name} twice"
                );
            }
        }
    }

    #[test]
    fn no_session_is_dropped_by_another_list() {
        let names = |list: &str| super::built_in(list).unwrap();
        for harmless in ["@analytics", "@consent"] {
            for pattern in names(harmless) {
                let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
                let is_same = |name: &&&str| {
                    let other = name.strip_suffix('*').unwrap_or(name);
                    other == beginning
                        || pattern.ends_with('*') && other.starts_with(beginning)
                        || name.ends_with('*') && beginning.starts_with(other)
                };
                let both = names("@session").iter().chain(names("@preview")).find(is_same);
                assert_eq!(both, None, "{harmless} holds {pattern}");
            }
        }
    }
}
