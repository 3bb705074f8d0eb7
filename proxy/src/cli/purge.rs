//! `shellac purge`: a purge through a running proxy's admin API.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use purge_protocol::{PurgeMode, PurgeReport, PurgeRequest};
use tokio::net::TcpStream;

use process::exit::Exit;
use process::terminal::say;
use settings::{Config, Flags, ListenAddress, Sources};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("selectors").required(true).multiple(true)
    .args(["tag", "url", "host", "prefix", "all"])))]
pub(super) struct PurgeArguments {
    /// Responses that carry this tag, or this entity tag, quoted or not
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// All variants of a URL, `https://host/path`
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// All URLs of a host
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// All URLs that begin so: `https://host/path`, or `/path` for every host
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Mark as stale instead of deleting
    #[arg(long)]
    soft: bool,
    /// The proxy's admin listener; its token is read from `SHELLAC_ADMIN_TOKEN` or the
    /// configuration [default: that of the configuration, else `http://127.0.0.1:8081`]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The configuration file to take the admin address and token from
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Purges.
pub(super) fn purge(arguments: PurgeArguments) -> ExitCode {
    let (admin, token) = address_and_token(&arguments);
    let request = PurgeRequest {
        tags: arguments.tag,
        urls: arguments.url,
        hosts: arguments.host,
        prefixes: arguments.prefix,
        all: arguments.all,
        mode: Some(if arguments.soft { PurgeMode::Soft } else { PurgeMode::Hard }),
        reason: Some("command line".to_owned()),
        ..PurgeRequest::default()
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("shellac: {error}"));
            return Exit::Io.into();
        }
    };
    let sent = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, send(&admin, token, &request)).await });
    match sent {
        Ok(Ok((status, body))) => report(status, &body, arguments.json).into(),
        Ok(Err(error)) => {
            say(format_args!(
                "shellac: no proxy answers at {admin}: {error}; is it running, is --admin right?"
            ));
            Exit::Unavailable.into()
        }
        Err(_elapsed) => {
            say(format_args!("shellac: {admin} did not answer within {PATIENCE:?}"));
            Exit::Unavailable.into()
        }
    }
}

/// Sends the request and returns the answer.
async fn send(
    admin: &str,
    token: Option<String>,
    request: &PurgeRequest,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error>> {
    let text = if admin.contains("://") { admin.to_owned() } else { format!("http://{admin}") };
    let uri: Uri = text.parse()?;
    let authority = uri.authority().ok_or("it names no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "admin connection ended");
        }
    });
    let mut builder = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/purge")
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json, application/problem+json")
        .header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = sender
        .send_request(builder.body(Full::new(Bytes::from(serde_json::to_vec(request)?)))?)
        .await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

fn report(status: StatusCode, body: &[u8], is_json: bool) -> Exit {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_slice::<PurgeReport>(body) {
        Ok(report) if status.is_success() => {
            let page = if is_json { text.into_owned() } else { sentences(&report) };
            if let Some(hint) = report.hint.filter(|_| !is_json) {
                say(format_args!("shellac: {hint}"));
            }
            if std::io::stdout().write_all(page.as_bytes()).is_ok() { Exit::Done } else { Exit::Io }
        }
        _ => {
            say(format_args!("shellac: the proxy answered {status}: {}", detail_of(body, &text)));
            match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
                status if status.is_client_error() => Exit::Usage,
                _ => Exit::Unavailable,
            }
        }
    }
}

fn sentences(report: &PurgeReport) -> String {
    let line = |selected: &purge_protocol::SelectorReport| {
        format!("{:>10}  {}\n", selected.objects, selected.selector)
    };
    let lines: String = report.selectors.iter().map(line).collect();
    let mode = match report.mode {
        PurgeMode::Hard => "purged",
        PurgeMode::Soft => "made stale",
    };
    format!(
        "{lines}{:>10}  stored responses {mode} in {} µs\n",
        report.matched.objects, report.took_us
    )
}

/// Returns the detail of a problem (RFC 9457); of another answer its first line, as it is not the
/// proxy's.
fn detail_of(body: &[u8], text: &str) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    match problem.as_ref().and_then(|problem| problem.get("detail")?.as_str()) {
        Some(detail) => detail.to_owned(),
        None if text.trim_start().starts_with('<') => {
            "an HTML page: is --admin the address of a proxy's admin listener?".to_owned()
        }
        None => text.trim().lines().next().unwrap_or_default().to_owned(),
    }
}

/// The flag, else what the configuration says, else the default: a purge needs no origin to be
/// configured.
fn address_and_token(arguments: &PurgeArguments) -> (String, Option<String>) {
    let flags = Flags {
        config: arguments.config.clone(),
        origin: Some("127.0.0.1:1".to_owned()), // not used: only the admin section is
        ..Flags::default()
    };
    let config = Sources::of_process(flags).ok().and_then(|sources| Config::load(&sources).ok());
    let configured =
        config.as_ref().and_then(|config| config.admin.listen.iter().find_map(ListenAddress::tcp));
    let configured = configured.map(|address| address.to_string());
    let admin =
        arguments.admin.clone().or(configured).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let token = std::env::var("SHELLAC_ADMIN_TOKEN").ok();
    let token = token.or_else(|| {
        config.and_then(|config| config.admin.token).map(|token| token.expose().to_owned())
    });
    (admin, token)
}

const PATIENCE: Duration = Duration::from_secs(30);
