//! `AdminClient`: asks a running proxy through its admin listener.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::event_stream::{Event, EventLines};
use process::exit::Exit;
use process::terminal::say;
use settings::{Config, Flags, ListenAddress, Sources};

#[derive(Debug, Args)]
pub(super) struct AdminArguments {
    /// The proxy's admin listener, `http://host:port` or `unix:/path`; its token is read from
    /// `SHELLAC_ADMIN_TOKEN` or the configuration [default: that of the configuration, else
    /// `http://127.0.0.1:8081`]
    #[arg(long, value_name = "URL", global = true)]
    admin: Option<String>,
    /// The configuration file to take the admin address and token from
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct AdminClient {
    address: String,
    token: Option<String>,
}

#[derive(Debug)]
pub(super) struct AdminAnswer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// The end of a stream of events.
enum StreamEnd {
    Exit(Result<Exit, Exit>),
    /// The reason, and whether events had come.
    Lost(String, bool),
}

struct AdminRequest<'a> {
    method: &'a Method,
    path: &'a str,
    content: Option<String>,
    /// The event behind which a stream begins.
    last: Option<String>,
}

type AskError = Box<dyn std::error::Error>;

impl AdminArguments {
    /// Returns the name and the text of the configuration file that a proxy would be started with
    /// here, if there is one.
    pub(super) fn config_file(&self) -> Option<(String, String)> {
        let variable = std::env::var_os("SHELLAC_CONFIG").map(PathBuf::from);
        settings::find_file(self.config.as_deref(), variable.as_deref()).ok().flatten()
    }
}

impl AdminClient {
    /// Follows a stream of events until `show` has had enough, or it ends.
    pub(super) fn follow(
        &self,
        path: &str,
        show: &mut dyn FnMut(&Event) -> Result<bool, Exit>,
    ) -> Result<Exit, Exit> {
        let follow = async {
            match self.follow_once(path, None, show).await {
                StreamEnd::Exit(exit) => exit,
                StreamEnd::Lost(what, _) => Err(self.lost(&what)),
            }
        };
        runtime()?.block_on(follow)
    }

    /// Follows a stream from behind an event. When it ends, as the proxy is replaced or started
    /// again, it goes on behind the last event that was shown, if a proxy answers soon.
    pub(super) fn follow_on(
        &self,
        path: &str,
        mut last: String,
        show: &mut dyn FnMut(&Event) -> Result<bool, Exit>,
    ) -> Result<Exit, Exit> {
        let follow = async {
            let mut absent: Option<Instant> = None;
            loop {
                let behind = last.clone();
                let mut remember = |event: &Event| {
                    event.id.clone_into(&mut last);
                    show(event)
                };
                let what = match self.follow_once(path, Some(behind), &mut remember).await {
                    StreamEnd::Exit(exit) => return exit,
                    StreamEnd::Lost(what, was_there) => {
                        if was_there {
                            say(format_args!("shellac: {}: {what}; following on", self.address));
                            absent = Some(Instant::now());
                        }
                        what
                    }
                };
                if absent.is_none_or(|since| since.elapsed() >= RETURN_PATIENCE) {
                    return Err(self.lost(&what));
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        runtime()?.block_on(follow)
    }

    fn lost(&self, what: &str) -> Exit {
        say(format_args!("shellac: {}: {what}", self.address));
        Exit::Unavailable
    }

    async fn follow_once(
        &self,
        path: &str,
        last: Option<String>,
        show: &mut dyn FnMut(&Event) -> Result<bool, Exit>,
    ) -> StreamEnd {
        let asked = AdminRequest { method: &Method::GET, path, content: None, last };
        let asked = match tokio::time::timeout(PATIENCE, self.request(asked)).await {
            Err(_elapsed) => return StreamEnd::Lost("it does not answer".to_owned(), false),
            Ok(Err(error)) => return StreamEnd::Lost(error.to_string(), false),
            Ok(Ok(response)) => response,
        };
        let (status, mut body) = (asked.status(), asked.into_body());
        if !status.is_success() {
            return match body.collect().await {
                Ok(body) => {
                    StreamEnd::Exit(Err(AdminAnswer { status, body: body.to_bytes() }.refused()))
                }
                Err(error) => StreamEnd::Lost(error.to_string(), false),
            };
        }
        let mut lines = EventLines::default();
        while let Some(frame) = body.frame().await {
            let data = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => return StreamEnd::Lost(error.to_string(), true),
            };
            for event in lines.take(&data) {
                match show(&event) {
                    Ok(true) => {}
                    Ok(false) => return StreamEnd::Exit(Ok(Exit::Done)),
                    Err(exit) => return StreamEnd::Exit(Err(exit)),
                }
            }
        }
        StreamEnd::Lost("the proxy has ended the stream".to_owned(), true)
    }

    /// The flag, else what the configuration says, else the default: no origin needs to be
    /// configured.
    pub(super) fn of(arguments: &AdminArguments) -> Result<Self, Exit> {
        let flags = Flags { config: arguments.config.clone(), ..Flags::default() };
        let variable = std::env::var_os("SHELLAC_CONFIG").filter(|name| !name.is_empty());
        let sources = match Sources::of_process(flags.clone()) {
            Ok(sources) => sources,
            // It is in a place that nobody has named, and may be for others.
            Err(_) if arguments.config.is_none() && variable.is_none() => {
                Sources::without_file(flags)
            }
            Err(error) => {
                say(format_args!("shellac: {error}"));
                return Err(Exit::Io);
            }
        };
        let settings = Config::load_admin(&sources);
        let configured = settings.as_ref().and_then(|settings| {
            let is_known =
                |address: &&ListenAddress| !matches!(address, ListenAddress::Inherited(_));
            settings.listen.iter().find(is_known)
        });
        let address = arguments.admin.clone().or_else(|| configured.map(ToString::to_string));
        let address = address.unwrap_or_else(|| "127.0.0.1:8081".to_owned());
        let token = std::env::var("SHELLAC_ADMIN_TOKEN").ok().filter(|token| !token.is_empty());
        let token = token.or_else(|| Some(settings?.token?.expose().to_owned()));
        if is_spoken(&address) {
            return Ok(Self { address, token });
        }
        say(format_args!(
            "shellac: {address}: an admin listener speaks plain HTTP: write http://HOST:PORT, or unix:/PATH; through other \
             networks, forward one of them (ssh -L 8081:127.0.0.1:8081 HOST)"
        ));
        Err(Exit::Usage)
    }

    /// Asks, and returns the answer, whatever its status. Says so if there is none.
    pub(super) fn ask(
        &self,
        method: &Method,
        path: &str,
        content: Option<&Value>,
    ) -> Result<AdminAnswer, Exit> {
        self.try_ask(method, path, content).map_err(|problem| {
            say(format_args!("shellac: {problem}"));
            Exit::Unavailable
        })
    }

    /// Asks, and returns the answer, whatever its status, or why there is none.
    pub(super) fn try_ask(
        &self,
        method: &Method,
        path: &str,
        content: Option<&Value>,
    ) -> Result<AdminAnswer, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let content = content.map(Value::to_string);
        let asked = self.send(method, path, content);
        let admin = &self.address;
        match runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await }) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!(
                "no proxy answers at {admin}: {error}; is it running, is --admin right?"
            )),
            Err(_elapsed) => Err(format!("{admin} did not answer within {PATIENCE:?}")),
        }
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        content: Option<String>,
    ) -> Result<AdminAnswer, AskError> {
        let response = self.request(AdminRequest { method, path, content, last: None }).await?;
        let status = response.status();
        Ok(AdminAnswer { status, body: response.into_body().collect().await?.to_bytes() })
    }

    async fn request(&self, asked: AdminRequest<'_>) -> Result<Response<Incoming>, AskError> {
        if let Some(socket) = self.address.strip_prefix("unix:") {
            let stream = UnixStream::connect(socket).await?;
            return self.exchange(stream, "localhost", asked).await;
        }
        let authority = self.address.get(HTTP.len()..).filter(|_| is_http(&self.address));
        let uri: Uri = format!("{HTTP}{}", authority.unwrap_or(&self.address)).parse()?;
        let authority = uri.authority().ok_or("it names no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
        self.exchange(stream, authority.as_str(), asked).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
        AdminRequest { method, path, content, last }: AdminRequest<'_>,
    ) -> Result<Response<Incoming>, AskError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection ended");
            }
        });
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json, application/problem+json");
        if content.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        if let Some(last) = last {
            builder = builder.header("last-event-id", last);
        }
        if let Some(token) = &self.token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let content = Full::new(Bytes::from(content.unwrap_or_default()));
        Ok(sender.send_request(builder.body(content)?).await?)
    }
}

impl AdminAnswer {
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Says why the proxy refused, and returns the exit code for that.
    pub(super) fn refused(&self) -> Exit {
        let detail = self.detail();
        let detail = match self.status {
            StatusCode::UNAUTHORIZED => format!(
                "{}; the token is admin.token of the configuration, or SHELLAC_ADMIN_TOKEN",
                detail.trim_end_matches('.'),
            ),
            _ => detail,
        };
        say(format_args!("shellac: the proxy answered {}: {detail}", self.status));
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
            status if status.is_client_error() => Exit::Usage,
            _ => Exit::Unavailable,
        }
    }

    /// Returns the detail of a problem (RFC 9457); of another answer its first line, as it is not
    /// the proxy's.
    pub(super) fn detail(&self) -> String {
        let (text, problem) = (self.text(), serde_json::from_slice::<Value>(&self.body).ok());
        match problem.as_ref().and_then(|problem| problem.get("detail")?.as_str()) {
            Some(detail) => detail.to_owned(),
            None if text.trim_start().starts_with('<') => {
                "an HTML page: is --admin the address of a proxy's admin listener?".to_owned()
            }
            None => text.trim().lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// Returns whether this client speaks the address's scheme: over another one, the token would be
/// sent to whoever listens on the way.
fn is_spoken(address: &str) -> bool {
    address.starts_with("unix:") || !address.contains("://") || is_http(address)
}

fn is_http(address: &str) -> bool {
    address.get(..HTTP.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTP))
}

fn runtime() -> Result<Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        say(format_args!("shellac: {error}"));
        Exit::Io
    })
}

const HTTP: &str = "http://";
const PATIENCE: Duration = Duration::from_secs(30);
/// The time in which a proxy that was lost may come back.
const RETURN_PATIENCE: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_scheme_is_refused_before_a_token_is_sent() {
        for spoken in ["127.0.0.1:8081", "http://h:1", "HTTP://h", "unix:/run/a", "[::1]:8081"] {
            assert!(is_spoken(spoken), "{spoken}");
        }
        for other in ["https://h:8443", "HTTPS://h", "ftp://h", "tcp://h:1", "://h"] {
            assert!(!is_spoken(other), "{other}");
            let arguments = AdminArguments { admin: Some(other.to_owned()), config: None };
            assert_eq!(AdminClient::of(&arguments).err(), Some(Exit::Usage), "{other}");
        }
    }

    #[test]
    fn a_file_that_was_named_and_cannot_be_read_is_an_error() {
        let arguments = AdminArguments { admin: None, config: Some("/nowhere/x.toml".into()) };
        assert_eq!(AdminClient::of(&arguments).err(), Some(Exit::Io));
    }
}
