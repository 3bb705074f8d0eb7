//! `shellac warm`: fetches the pages of a sitemap, a list, or those that were requested most
//! through the proxy, so that they are in the cache.

mod client;
mod gzip;
mod hottest;
mod sitemap;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{CONTENT_ENCODING, HeaderMap};
use http::{HeaderName, HeaderValue, Response, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::client::{Client, PageAnswer, WarmError, WarmTarget};
use self::gzip::GzipError;
use self::sitemap::Sitemap;
use super::admin_client::AdminArguments;
use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("pages").required(true).args(["sitemap", "urls", "hottest"])))]
pub(super) struct WarmArguments {
    /// A sitemap, or an index of sitemaps; it is fetched through the proxy, too
    #[arg(long, value_name = "URL")]
    sitemap: Option<String>,
    /// A file with a URL on each line, or a path, of the host of `--target`; `#` begins a comment;
    /// `-` reads standard input
    #[arg(long, value_name = "FILE")]
    urls: Option<PathBuf>,
    /// The pages that the proxy has in memory and that were requested most, so many of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    hottest: Option<u32>,
    /// Of these, only what this deployment has made: before its pages are gone, those that visitors
    /// want are there again
    #[arg(long, value_name = "ID", requires = "hottest")]
    from_deployment: Option<String>,
    #[command(flatten)]
    admin: AdminArguments,
    /// Fetches at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,
    /// Fetches in a second, at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rps: u32,
    /// A field for each request, for example `Accept-Language: de`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The proxy
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = target)]
    target: String,
}

#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("cannot read {path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error("the sitemap {url}: {source}")]
    Sitemap { url: String, source: WarmError },
    #[error("the sitemap {url} was answered with {status}")]
    Status { url: String, status: http::StatusCode },
    #[error("{0} is no sitemap: it holds neither <urlset> nor <sitemapindex>; is it an HTML page?")]
    NoSitemap(String),
    #[error("the sitemap {url}: {source}")]
    Compressed { url: String, source: GzipError },
    #[error(
        "the sitemap {url} has the Content-Encoding {coding}, of which only gzip is read: \
        leave out `-H 'Accept-Encoding: …'`, or list its URLs in a file and use --urls"
    )]
    Encoded { url: String, coding: String },
}

/// The number of pages by their answer.
#[derive(Debug, Default)]
struct WarmTally {
    hits: u64,
    stored: u64,
    not_stored: u64,
    errors: u64,
    /// Of those, without any answer because there was no connection.
    unreachable: u64,
    /// By reason, a few of them.
    reasons: BTreeMap<String, (u64, String)>,
}

/// The state that the workers share.
#[derive(Debug)]
struct WarmWork {
    pages: Mutex<VecDeque<String>>,
    tally: Mutex<WarmTally>,
    next: Mutex<Instant>,
    interval: Duration,
    bar: ProgressBar,
}

/// Warms.
pub(super) fn warm(arguments: &WarmArguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("shellac: {error}"));
            return Exit::Io.into();
        }
    };
    let fields: HeaderMap = arguments.headers.iter().cloned().collect();
    let target = WarmTarget { authority: arguments.target.clone(), fields };
    let pages = match arguments.hottest {
        Some(max) => hottest::pages(&arguments.admin, max, arguments.from_deployment.as_deref()),
        None => runtime.block_on(list(arguments, &target)).map_err(|error| {
            say(format_args!("shellac: {error}"));
            let is_file = matches!(error, ListError::File { .. });
            if is_file { Exit::Io } else { Exit::Unavailable }
        }),
    };
    let pages = match pages {
        Ok(pages) => pages,
        Err(exit) => return exit.into(),
    };
    let count = pages.len();
    let tally = runtime.block_on(fetch_all(pages, arguments, &target));
    report(&tally, count).into()
}

/// The pages, each once, in the order in which they are listed.
async fn list(arguments: &WarmArguments, target: &WarmTarget) -> Result<Vec<String>, ListError> {
    let mut pages = match (&arguments.sitemap, &arguments.urls) {
        (Some(url), _) => sitemap_pages(url, target).await?,
        (None, Some(path)) => {
            let file = |source| ListError::File { path: path.display().to_string(), source };
            let mut text = String::new();
            if path.as_os_str() == "-" {
                std::io::stdin().read_to_string(&mut text).map_err(file)?;
            } else {
                text = std::fs::read_to_string(path).map_err(file)?;
            }
            let lines = text.lines().map(str::trim);
            lines
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(|line| absolute(line, &target.authority))
                .collect()
        }
        (None, None) => Vec::new(),
    };
    let mut seen = HashSet::new();
    pages.retain(|page| seen.insert(page.clone()));
    Ok(pages)
}

/// Puts the host of `--target` before a path.
fn absolute(line: &str, authority: &str) -> String {
    let is_path = line.starts_with('/') && !line.starts_with("//");
    if is_path { format!("http://{authority}{line}") } else { line.to_owned() }
}

/// Reads a sitemap and those that it leads to, up to limits.
async fn sitemap_pages(first: &str, target: &WarmTarget) -> Result<Vec<String>, ListError> {
    let mut client = Client::new(target.clone());
    let mut seen = HashSet::from([first.to_owned()]);
    let mut open = VecDeque::from([(first.to_owned(), 0)]);
    let mut pages = Vec::new();
    while let Some((url, depth)) = open.pop_front() {
        let read = client.read(&url, SITEMAP_BYTES_MAX).await;
        let response = match read {
            Ok(response) => response,
            Err(source) => return Err(ListError::Sitemap { url, source }),
        };
        let status = response.status();
        if !status.is_success() {
            return Err(ListError::Status { url, status });
        }
        let text = decoded(&url, response)?;
        let text = String::from_utf8_lossy(&text);
        let Sitemap { pages: more, sitemaps } = Sitemap::read(&text);
        if more.is_empty() && sitemaps.is_empty() && !Sitemap::is_one(&text) {
            return Err(ListError::NoSitemap(url));
        }
        pages.extend(more);
        for further in sitemaps {
            if depth == DEPTH_MAX || seen.len() == SITEMAPS_MAX {
                say(format_args!(
                    "shellac: the sitemap {further} is left out: too many, or too deep"
                ));
            } else if seen.insert(further.clone()) {
                open.push_back((further, depth + 1));
            }
        }
        if pages.len() > PAGES_MAX {
            say(format_args!("shellac: only the first {PAGES_MAX} pages are fetched"));
            pages.truncate(PAGES_MAX);
            break;
        }
    }
    Ok(pages)
}

/// Returns the text of a sitemap. Content that begins as gzip is decompressed, whatever its URL and
/// its fields say: servers call a `.gz` file `application/gzip`, `Content-Encoding: gzip`, both, or
/// plain text. With both it may be compressed twice.
fn decoded(url: &str, response: Response<Bytes>) -> Result<Bytes, ListError> {
    let coding = response.headers().get(CONTENT_ENCODING).cloned();
    let mut content = response.into_body();
    for _ in 0..CODINGS_MAX {
        if gzip::is_gzip(&content) {
            content = gzip::decompressed(&content, SITEMAP_BYTES_MAX)
                .map_err(|source| ListError::Compressed { url: url.to_owned(), source })?
                .into();
        }
    }
    let coding = coding.as_ref().map_or("", |value| value.to_str().unwrap_or("?")).trim();
    if !["", "gzip", "x-gzip", "identity"].iter().any(|known| coding.eq_ignore_ascii_case(known)) {
        return Err(ListError::Encoded { url: url.to_owned(), coding: coding.to_owned() });
    }
    Ok(content)
}

async fn fetch_all(
    pages: Vec<String>,
    arguments: &WarmArguments,
    target: &WarmTarget,
) -> WarmTally {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    let work = Arc::new(WarmWork {
        bar: ProgressBar::new(pages.len() as u64).with_style(style), // hidden where there is no terminal
        pages: Mutex::new(pages.into()),
        tally: Mutex::default(),
        next: Mutex::new(Instant::now()),
        interval: Duration::from_secs(1) / arguments.rps,
    });
    let mut workers = JoinSet::new();
    for _ in 0..arguments.concurrency {
        workers.spawn(Arc::clone(&work).run(Client::new(target.clone())));
    }
    workers.join_all().await;
    work.bar.finish_and_clear();
    std::mem::take(&mut *work.tally.lock())
}

impl WarmWork {
    async fn run(self: Arc<Self>, mut client: Client) {
        loop {
            let page = self.pages.lock().pop_front();
            let Some(page) = page else { return };
            sleep_until(self.turn()).await;
            let answer = client.warm(&page).await;
            self.tally.lock().add(&page, answer);
            self.bar.inc(1);
        }
    }

    /// Returns the time of the next request. Missed turns are not made up for.
    fn turn(&self) -> Instant {
        let mut next = self.next.lock();
        let turn = (*next).max(Instant::now());
        *next = turn + self.interval;
        turn
    }
}

impl WarmTally {
    fn add(&mut self, page: &str, answer: Result<PageAnswer, WarmError>) {
        let reason = match answer {
            Ok(PageAnswer::Hit) => return self.hits += 1,
            Ok(PageAnswer::Stored) => return self.stored += 1,
            Ok(PageAnswer::NotStored) => return self.not_stored += 1,
            Ok(PageAnswer::Error(status)) => status.to_string(),
            Err(error) => {
                self.unreachable += u64::from(matches!(error, WarmError::Connect { .. }));
                error.to_string()
            }
        };
        self.errors += 1;
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason) {
            self.reasons.entry(reason).or_insert_with(|| (0, page.to_owned())).0 += 1;
        }
    }
}

fn report(tally: &WarmTally, pages: usize) -> Exit {
    use std::io::Write as _;
    for (reason, (count, page)) in &tally.reasons {
        say(format_args!("shellac: {count} × {reason}, for example {page}"));
    }
    let WarmTally { hits, stored, not_stored, errors, unreachable, .. } = tally;
    let lines = format!(
        "{hits:>10}  hit: in the cache already\n{stored:>10}  miss: fetched and stored\n{not_stored:>10}  miss: fetched, not stored\n{errors:>10}  error\n{pages:>10}  pages\n"
    );
    if std::io::stdout().write_all(lines.as_bytes()).is_err() {
        Exit::Io
    } else if *errors == 0 {
        Exit::Done
    } else if *unreachable == *errors && hits + stored + not_stored == 0 {
        Exit::Unavailable
    } else {
        Exit::Partial
    }
}

/// Reads `Name: value`.
fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
    let name = name
        .trim()
        .parse::<HeaderName>()
        .map_err(|error| format!("`{name}` is no field name: {error}"))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|error| error.to_string())?;
    Ok((name, value))
}

/// Reads the proxy's address: `http://host:port`, or without the scheme.
fn target(text: &str) -> Result<String, String> {
    let uri = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = uri.parse().map_err(|error| format!("{error}"))?;
    if uri.scheme_str() != Some("http") {
        return Err("the proxy speaks plain HTTP: write http://host:port".to_owned());
    }
    let authority = uri.authority().ok_or("it names no host")?;
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

const BAR: &str = "{bar:40} {pos}/{len} pages  {per_sec}  {eta} left";
/// Times that one document may be compressed: as a file, and for the transfer.
const CODINGS_MAX: usize = 2;
/// Bytes of one sitemap, as sitemaps.org allows, on the wire and decompressed.
const SITEMAP_BYTES_MAX: usize = 50 << 20;
/// Sitemaps that are read.
const SITEMAPS_MAX: usize = 1000;
/// An index of indexes is one too many by the protocol; we are not that strict.
const DEPTH_MAX: usize = 2;
const PAGES_MAX: usize = 1_000_000;
/// Different reasons that are shown.
const REASONS_MAX: usize = 10;
