//! `EventLines`: server-sent events, line by line, as they come from the admin listener.

/// The end of an event stream: bytes go in, whole events come out.
#[derive(Debug, Default)]
pub(super) struct EventLines {
    rest: Vec<u8>,
    id: String,
    name: String,
    data: String,
}

/// An event with its data, whose lines are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// To go on after it.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: String,
}

impl EventLines {
    /// Takes bytes, and returns the events that are whole now.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                if !data.is_empty() {
                    events.push(Event { id: self.id.clone(), name, data });
                }
            } else if let Some(id) = line.strip_prefix("id: ") {
                id.clone_into(&mut self.id);
            } else if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut self.name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data);
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_their_bytes_come() {
        let bytes = b"retry: 2000\n: hello\n\nevent: log\nid: 1\ndata: {}\n\nevent: x\ndata: a\n";
        let mut lines = EventLines::default();
        let mut events = Vec::new();
        for byte in bytes {
            events.extend(lines.take(&[*byte]));
        }
        let event = |name: &str, data: &str| {
            let [id, name, data] = ["1", name, data].map(str::to_owned);
            Event { id, name, data }
        };
        assert_eq!(events, [event("log", "{}")]);
        assert_eq!(lines.take(b"data: b\r\n\r\n"), [event("x", "a\nb")], "the last id stays");
    }
}
