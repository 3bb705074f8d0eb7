//! A name server on this machine, over UDP and TCP, whose records and faults a test changes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _serving: JoinSet<()>,
}

/// The reaction of the server to a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    #[default]
    Answers,
    Fails,
    /// Says nothing.
    Swallows,
    AnswersAfter(Duration),
    /// Over UDP only that the answer is too long.
    Truncates,
}

#[derive(Debug, Default)]
struct Zone {
    records: BTreeMap<String, Vec<(u32, RData)>>,
    manner: Manner,
    /// A kind of record whose questions are swallowed.
    swallowed: Option<RecordType>,
    questions: Vec<(String, RecordType)>,
}

impl DnsServer {
    pub(crate) async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (Arc::new(udp), tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve_udp(udp, Arc::clone(&zone)));
        serving.spawn(serve_tcp(tcp, Arc::clone(&zone)));
        Self { address, zone, _serving: serving }
    }

    /// Replaces the addresses of a name.
    pub(crate) fn set(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let record = |address: &&str| {
            let data = match address.parse().unwrap() {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            };
            (ttl, data)
        };
        self.put(name, addresses.iter().map(record).collect());
    }

    /// Replaces the services of a name: priority, weight, port, host.
    pub(crate) fn set_services(&self, name: &str, ttl: u32, services: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            let target = Name::from_ascii(target).unwrap();
            (ttl, RData::SRV(SRV::new(*priority, *weight, *port, target)))
        };
        self.put(name, services.iter().map(record).collect());
    }

    pub(crate) fn set_alias(&self, name: &str, ttl: u32, target: &str) {
        self.put(name, vec![(ttl, RData::CNAME(CNAME(Name::from_ascii(target).unwrap())))]);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.zone.lock().records.remove(&format!("{name}."));
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.zone.lock().manner = manner;
    }

    pub(crate) fn swallow(&self, kind: RecordType) {
        self.zone.lock().swallowed = Some(kind);
    }

    pub(crate) fn questions(&self) -> Vec<(String, RecordType)> {
        self.zone.lock().questions.clone()
    }

    fn put(&self, name: &str, records: Vec<(u32, RData)>) {
        self.zone.lock().records.insert(format!("{name}."), records);
    }
}

impl Zone {
    /// Returns the answer to a question, and the time after which it is sent.
    fn answer(&mut self, question: &[u8], is_udp: bool) -> Option<(Vec<u8>, Duration)> {
        let asked = Message::from_vec(question).ok()?;
        let query = asked.queries.first()?.clone();
        let name = query.name().to_ascii().to_ascii_lowercase();
        self.questions.push((name.clone(), query.query_type()));
        if self.swallowed == Some(query.query_type()) {
            return None;
        }
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let mut pause = Duration::ZERO;
        match self.manner {
            Manner::Swallows => return None,
            Manner::Fails => answer.metadata.response_code = ResponseCode::ServFail,
            Manner::Truncates if is_udp => answer.metadata.truncation = true,
            Manner::AnswersAfter(time) => pause = time,
            Manner::Answers | Manner::Truncates => {}
        }
        if answer.metadata.response_code == ResponseCode::NoError && !answer.metadata.truncation {
            self.fill(&mut answer, &name, query.query_type());
        }
        Some((answer.to_vec().ok()?, pause))
    }

    fn fill(&self, answer: &mut Message, name: &str, kind: RecordType) {
        let Some(records) = self.records.get(name) else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return;
        };
        for (ttl, data) in records {
            let is_alias = matches!(data, RData::CNAME(_));
            if data.record_type() == kind || is_alias {
                let owner = Name::from_ascii(name).unwrap();
                answer.add_answer(Record::from_rdata(owner, *ttl, data.clone()));
            }
            if let RData::CNAME(target) = data {
                self.fill(answer, &target.0.to_ascii(), kind);
            }
        }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, zone: Arc<Mutex<Zone>>) {
    let mut answering = JoinSet::new();
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let answer = zone.lock().answer(&buffer[..length], true);
        let Some((bytes, pause)) = answer else { continue };
        let socket = Arc::clone(&socket);
        answering.spawn(async move {
            sleep(pause).await;
            drop(socket.send_to(&bytes, peer).await);
        });
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    let mut answering = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let zone = Arc::clone(&zone);
        answering.spawn(async move { drop(serve_stream(stream, zone).await) });
    }
}

async fn serve_stream(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) -> io::Result<()> {
    loop {
        let mut question = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut question).await?;
        let answer = zone.lock().answer(&question, false);
        let Some((bytes, pause)) = answer else { continue };
        sleep(pause).await;
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await?;
        stream.write_all(&bytes).await?;
    }
}
