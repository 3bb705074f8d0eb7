//! Errors of the origin that go to all who wait.

use std::sync::Arc;

use super::ruled;
use crate::support::origin::{Gate, Origin, cacheable, status};
use crate::support::proxy::Proxy;

/// Sends a request with each of these fields at once, and returns the texts of the answers.
async fn all_at_once(
    proxy: &Proxy,
    origin: &Origin,
    gate: &Gate,
    fields: &[(&'static str, &'static str)],
) -> Vec<String> {
    let mut clients = Vec::new();
    for field in fields {
        clients.push(proxy.begin("/a", &[*field]).await);
        origin.seen("/a", 1).await;
    }
    gate.open();
    let mut texts = Vec::new();
    for client in &mut clients {
        texts.push(client.answer().await.text().to_owned());
    }
    texts
}

#[tokio::test]
async fn an_error_that_sets_a_cookie_is_for_one_client() {
    let (origin, gate) = (Origin::start().await, Arc::new(Gate::closed()));
    let shared = Arc::clone(&gate);
    origin.script("/a", move |request| {
        let session = request.head.field("x-client").unwrap_or_default();
        status("500 Internal Server Error", &session)
            .field("set-cookie", &format!("session={session}"))
            .after(&shared)
    });
    let proxy = ruled(&origin, "[[rule]]\npath = \"/**\"\nset_cookie = \"strip\"\n");
    let fields = [("X-Client", "a"), ("X-Client", "b"), ("X-Client", "c")];
    assert_eq!(all_at_once(&proxy, &origin, &gate, &fields).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_error_is_shared_by_those_whose_variant_it_is() {
    for varies in [true, false] {
        let (origin, gate) = (Origin::start().await, Arc::new(Gate::closed()));
        let shared = Arc::clone(&gate);
        origin.script("/a", move |request| {
            let tenant = request.head.field("x-tenant").unwrap_or_default();
            let reply = match &*tenant {
                "broken" => status("503 Service Unavailable", "broken"),
                tenant => cacheable(tenant),
            };
            let reply = if varies { reply.field("vary", "X-Tenant") } else { reply };
            reply.after(&shared)
        });
        let key = "[[rule]]\nkey.headers = [\"X-Tenant\"]\n";
        let proxy = ruled(&origin, if varies { "" } else { key });
        let fields = [("X-Tenant", "broken"), ("X-Tenant", "well"), ("X-Tenant", "broken")];
        let texts = all_at_once(&proxy, &origin, &gate, &fields).await;
        assert_eq!(texts, ["broken", "well", "broken"], "varies: {varies}");
    }
}
