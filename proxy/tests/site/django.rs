//! A real Django site behind its preset.

use crate::support::framework::Framework;
use crate::support::{Answer, Client, Shellac};

/// Starts a proxy before the site; `None` where Django cannot be installed.
fn before_django() -> Option<Shellac> {
    let rule = "[[rule]]\nname = \"site\"\npreset = \"django\"\n";
    Some(Shellac::configured(Framework::django()?.address(), "", rule))
}

/// Logs in as the site's user, and returns the cookies of the session.
async fn log_in(client: Client) -> String {
    let form = client.get("/login/").await;
    let (token, cookies) = (form.shown("token").to_owned(), form.cookies());
    let content = format!("csrfmiddlewaretoken={token}&username=ada&password=lovelace");
    let entered = client.submit("/login/", &cookies, &content).await;
    assert_eq!(entered.status, 302, "{}", entered.text());
    assert!(entered.cookies().contains("sessionid="), "{:?}", entered.fields);
    entered.cookies()
}

#[tokio::test]
async fn an_anonymous_page_of_django_is_stored_though_it_varies_by_cookie() {
    let Some(shellac) = before_django() else { return };
    let client = shellac.client();
    let first = client.get("/").await;
    assert!(first.field("vary").contains("Cookie"), "{:?}", first.fields);
    for cookie in ["_ga=GA1.1.7", "_ga=GA1.1.8; CookieConsent=yes"] {
        let hit = client.get_with_cookie("/?utm_source=mail", cookie).await;
        assert!(hit.is_hit(), "{cookie}: {:?}", hit.fields);
        assert_eq!(hit.shown("user"), "nobody");
    }
}

#[tokio::test]
async fn a_session_of_django_bypasses_the_cache_and_leaves_the_shared_page() {
    let Some(shellac) = before_django() else { return };
    let client = shellac.client();
    let session = log_in(client).await; // which redirects to `/`, and so invalidates it
    client.get("/").await;
    for _ in 0..2 {
        let own = client.get_with_cookie("/", &session).await;
        assert_eq!(own.shown("user"), "ada");
        assert!(!own.is_hit(), "{:?}", own.fields);
        let shared = client.get("/").await;
        assert!(shared.is_hit() && shared.shown("user") == "nobody", "{:?}", shared.fields);
    }
    assert_eq!(client.get_with_cookie("/admin/", &session).await.status, 200);
    assert_eq!(client.get("/admin/").await.status, 302);
}

#[tokio::test]
async fn a_form_of_django_with_its_token_is_never_shared_and_can_be_sent() {
    let Some(shellac) = before_django() else { return };
    let client = shellac.client();
    let [one, other]: [Answer; 2] = [client.get("/form/").await, client.get("/form/").await];
    assert!(!other.is_hit() && one.cookies() != other.cookies());
    let cookies = one.cookies();
    for _ in 0..2 {
        let again = client.get_with_cookie("/form/", &cookies).await;
        assert!(!again.is_hit(), "it has the token of one visitor: {:?}", again.fields);
    }
    let content = format!("csrfmiddlewaretoken={}&text=hello", one.shown("token"));
    let sent = client.submit("/form/", &cookies, &content).await;
    assert_eq!((sent.status.as_u16(), sent.text()), (200, "thank you for hello"));
    let forged = client.submit("/form/", &other.cookies(), "text=hello").await;
    assert_eq!(forged.status, 403);
}

#[tokio::test]
async fn a_page_of_django_is_one_response_for_each_language_that_is_chosen() {
    let Some(shellac) = before_django() else { return };
    let client = shellac.client();
    for is_hit in [false, true] {
        for language in ["de", "en"] {
            let cookie = format!("django_language={language}");
            let page = client.get_with_cookie("/plain/", &cookie).await;
            assert!(page.text().ends_with(language), "{language}: {}", page.text());
            assert_eq!(page.is_hit(), is_hit, "{language}: {:?}", page.fields);
        }
    }
    let german = client.get_with("/plain/", &[("accept-language", "de")]).await;
    assert!(german.text().ends_with("de"), "{}", german.text());
}

#[tokio::test]
async fn static_files_of_django_are_shared_by_members_too() {
    let Some(shellac) = before_django() else { return };
    let client = shellac.client();
    let page = client.get("/").await;
    let file = page.text().split('"').find(|text| text.starts_with("/static/"));
    let file = file.expect("the page has a style sheet");
    assert_eq!(client.get(file).await.status, 200);
    let cookies = "sessionid=abc; csrftoken=def; theme=dark";
    let hit = client.get_with_cookie(file, cookies).await;
    assert!(hit.is_hit(), "{:?}", hit.fields);
}
