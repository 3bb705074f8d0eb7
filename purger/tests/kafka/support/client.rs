//! A client of HTTP/1.1 that keeps its connection, and what an answer is taken apart into.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection, made when it is needed.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut fields = self.fields.iter();
        fields.find(|(own, _)| own.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether a proxy answered by itself, without asking the origin.
    pub(crate) fn is_hit(&self) -> bool {
        let status = self.field("cache-status");
        status.contains("; hit") && !status.contains("fwd=")
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, &[])
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let is_fresh = self.connection.is_none();
        match self.exchange(method, path, body) {
            // An idle connection may have been closed meanwhile.
            Err(_) if !is_fresh => self.exchange(method, path, body),
            other => other,
        }
    }

    fn exchange(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let length = body.len();
        // Admin listeners are asked for as this machine.
        let host = if path.starts_with("/p/") { "site.test" } else { "localhost" };
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n").into_bytes();
        if length > 0 {
            request.extend(format!("content-length: {length}\r\n").into_bytes());
            request.extend(b"content-type: application/json\r\n");
        }
        request.extend(b"\r\n");
        request.extend(body);
        connection.get_mut().write_all(&request)?;
        let answer = read_answer(&mut connection)?;
        if !answer.field("connection").eq_ignore_ascii_case("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(BufReader::new(stream))
    }
}

/// A proxy may be stopped for a while.
const TIMEOUT: Duration = Duration::from_secs(20);

fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let first = line(connection)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("{first:?} is no status line")))?;
    let mut answer = Answer { status, ..Answer::default() };
    loop {
        let text = line(connection)?;
        let Some((name, value)) = text.split_once(':') else { break };
        answer.fields.push((name.to_owned(), value.trim().to_owned()));
    }
    if answer.field("transfer-encoding").eq_ignore_ascii_case("chunked") {
        loop {
            let size =
                usize::from_str_radix(line(connection)?.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size];
            connection.read_exact(&mut chunk)?;
            answer.body.extend(chunk);
            line(connection)?;
            if size == 0 {
                break;
            }
        }
    } else {
        answer.body = vec![0; answer.field("content-length").parse().unwrap_or(0)];
        connection.read_exact(&mut answer.body)?;
    }
    Ok(answer)
}

fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
