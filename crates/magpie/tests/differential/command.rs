//! What a client does, from its line to bytes. Words that a packet has no place for are a mistake in the script.

use harness::Version;

/// A line at the margin: who, what, and its words.
pub(crate) struct Command {
    pub(crate) client: String,
    pub(crate) verb: String,
    pub(crate) words: Words,
}

/// Words of a command; each is taken by who understands it.
pub(crate) struct Words(Vec<String>);

impl Command {
    pub(crate) fn parse(line: &str) -> Self {
        let mut words = split(line);
        assert!(words.len() >= 2, "who, then what: {line}");
        let rest = words.split_off(2);
        let verb = words.remove(1);
        Self {
            client: words.remove(0),
            verb,
            words: Words(rest),
        }
    }
}

/// Words between spaces; what stands in quotes is one with its quotes taken off, marked by a leading quote.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (word, behind) = quoted.split_once('"').expect("a quote ends");
                (format!("\"{word}"), behind)
            }
            None => {
                let end = rest.find(' ').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = behind.trim_start();
    }
    words
}

impl Words {
    pub(crate) fn next(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let place = self.0.iter().position(|word| word == name);
        place.map(|place| self.0.remove(place)).is_some()
    }

    pub(crate) fn value(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|word| {
            word.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        })?;
        let word = self.0.remove(place);
        word.split_once('=').map(|(_, value)| value.to_owned())
    }

    fn number<N: std::str::FromStr>(&mut self, name: &str) -> Option<N> {
        let value = self.value(name)?;
        Some(
            value
                .parse()
                .unwrap_or_else(|_| panic!("{name} needs a number: {value}")),
        )
    }

    pub(crate) fn version(&mut self) -> Version {
        match (self.flag("v31"), self.flag("v311")) {
            (true, _) => Version::V31,
            (_, true) => Version::V311,
            _ => Version::V5,
        }
    }

    fn qos(&mut self) -> u8 {
        let _ = self.flag("q0");
        u8::from(self.flag("q1")) | u8::from(self.flag("q2")) << 1
    }

    pub(crate) fn end(&self, line: &str) {
        assert!(self.0.is_empty(), "what is {:?} in: {line}", self.0);
    }
}

fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut rest = body.len();
    loop {
        let byte = (rest & 0x7F) as u8;
        rest >>= 7;
        if rest == 0 {
            packet.push(byte);
            break;
        }
        packet.push(byte | 0x80);
    }
    packet.extend_from_slice(body);
    packet
}

/// Properties with their length; nothing before MQTT 5.
struct Properties(Vec<u8>);

impl Properties {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn one(&mut self, id: u8, value: Option<u8>) {
        self.put(id, value.map(|value| vec![value]));
    }

    fn two(&mut self, id: u8, value: Option<u16>) {
        self.put(id, value.map(|value| value.to_be_bytes().to_vec()));
    }

    fn four(&mut self, id: u8, value: Option<u32>) {
        self.put(id, value.map(|value| value.to_be_bytes().to_vec()));
    }

    fn text(&mut self, id: u8, value: Option<String>) {
        self.put(id, value.map(text));
    }

    fn put(&mut self, id: u8, value: Option<Vec<u8>>) {
        if let Some(value) = value {
            self.0.push(id);
            self.0.extend(value);
        }
    }

    fn user(&mut self, words: &mut Words) {
        while let Some(pair) = words.value("user") {
            let (name, value) = pair.split_once(':').expect("user=name:value");
            self.put(0x26, Some([text(name), text(value)].concat()));
        }
    }

    fn end(self, version: Version) -> Vec<u8> {
        match version {
            Version::V5 => packet(0, &self.0)[1..].to_vec(),
            Version::V31 | Version::V311 => Vec::new(),
        }
    }
}

/// `connect [v31|v311] [id=x] [clean] [expiry=s] [keepalive=s] [receive=n] [packet=n] [will=topic:payload …] …`
pub(crate) fn connect(version: Version, words: &mut Words) -> Vec<u8> {
    let id = words.value("id").unwrap_or_default();
    let mut flags = u8::from(words.flag("clean")) << 1;
    let mut list = Properties::new();
    list.four(0x11, words.number("expiry"));
    list.two(0x21, words.number("receive"));
    list.four(0x27, words.number("packet"));
    list.one(0x17, words.number("problem"));
    list.text(0x15, words.value("method"));
    let mut fields = text(id);
    if let Some(will) = words.value("will") {
        let (topic, payload) = will.split_once(':').expect("will=topic:payload");
        let qos = words.number::<u8>("willqos").unwrap_or(0);
        flags |= 4 | qos << 3 | u8::from(words.flag("willretain")) << 5;
        let mut will = Properties::new();
        will.four(0x18, words.number("delay"));
        will.four(0x02, words.number("willexpiry"));
        fields.extend(will.end(version));
        fields.extend(text(topic));
        fields.extend(text(payload));
    }
    if let Some(user) = words.value("login") {
        flags |= 0x80;
        fields.extend(text(user));
    }
    if let Some(password) = words.value("password") {
        flags |= 0x40;
        fields.extend(text(password));
    }
    let keep_alive: u16 = words.number("keepalive").unwrap_or(0);
    let mut body = text(version.protocol_name());
    body.extend([version.level(), flags]);
    body.extend(keep_alive.to_be_bytes());
    body.extend(list.end(version));
    body.extend(fields);
    packet(0x10, &body)
}

/// `publish topic payload [q1|q2] [n=packet id] [retain] [dup] [expiry=s] [alias=n] [user=name:value] …`
pub(crate) fn publish(version: Version, words: &mut Words) -> Vec<u8> {
    let qos = words.qos();
    let first = 0x30 | u8::from(words.flag("dup")) << 3 | qos << 1 | u8::from(words.flag("retain"));
    let id: u16 = words.number("n").unwrap_or(1);
    let size: Option<usize> = words.number("size");
    let mut list = Properties::new();
    list.one(0x01, words.number("format"));
    list.four(0x02, words.number("expiry"));
    list.text(0x03, words.value("type"));
    list.text(0x08, words.value("answer"));
    list.text(0x09, words.value("correlation"));
    list.two(0x23, words.number("alias"));
    list.user(words);
    let topic = words.next().expect("publish topic payload");
    let payload = words.next().expect("publish topic payload");
    let topic = topic.trim_start_matches('"');
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(list.end(version));
    body.extend_from_slice(payload.trim_start_matches('"').as_bytes());
    body.extend(std::iter::repeat_n(b'x', size.unwrap_or(0)));
    packet(first, &body)
}

/// `subscribe filter [q1|q2] [nolocal] [rap] [handling=n] [, filter …] [n=packet id] [sid=n]`
pub(crate) fn subscribe(version: Version, words: &mut Words) -> Vec<u8> {
    let id: u16 = words.number("n").unwrap_or(1);
    let mut list = Properties::new();
    list.one(0x0B, words.number("sid"));
    let mut body = id.to_be_bytes().to_vec();
    body.extend(list.end(version));
    for mut part in filters(words) {
        let options = part.qos()
            | u8::from(part.flag("nolocal")) << 2
            | u8::from(part.flag("rap")) << 3
            | part.number::<u8>("handling").unwrap_or(0) << 4;
        let filter = part.next().expect("a filter");
        body.extend(text(filter.trim_start_matches('"')));
        body.push(options);
        part.end("subscribe");
    }
    packet(0x82, &body)
}

/// `unsubscribe filter [, filter …] [n=packet id]`
pub(crate) fn unsubscribe(version: Version, words: &mut Words) -> Vec<u8> {
    let id: u16 = words.number("n").unwrap_or(1);
    let mut body = id.to_be_bytes().to_vec();
    body.extend(Properties::new().end(version));
    for mut part in filters(words) {
        body.extend(text(part.next().expect("a filter")));
        part.end("unsubscribe");
    }
    packet(0xA2, &body)
}

fn filters(words: &mut Words) -> Vec<Words> {
    let all = std::mem::take(&mut words.0);
    let parts = all.split(|word| word == ",");
    parts.map(|part| Words(part.to_vec())).collect()
}

/// `disconnect [reason=hex] [expiry=s]`
pub(crate) fn disconnect(version: Version, words: &mut Words) -> Vec<u8> {
    let reason = words.value("reason");
    let expiry = words.number("expiry");
    if version != Version::V5 || (reason.is_none() && expiry.is_none()) {
        return vec![0xE0, 0];
    }
    let mut list = Properties::new();
    list.four(0x11, expiry);
    let mut body = vec![reason.map_or(0, |reason| hex(&reason))];
    body.extend(list.end(version));
    packet(0xE0, &body)
}

/// `puback id [reason=hex]` and the like.
pub(crate) fn acknowledge(first: u8, id: u16, words: &mut Words) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(words.value("reason").map(|reason| hex(&reason)));
    packet(first, &body)
}

/// `raw 10 0d "MQTT" …`: bytes in hexadecimal, and texts with their length in front.
pub(crate) fn raw(words: &mut Words) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(word) = words.next() {
        match word.strip_prefix('"') {
            Some(quoted) => bytes.extend(text(quoted)),
            None => bytes.push(hex(&word)),
        }
    }
    bytes
}

/// `packet 82 …`: a packet of this first byte; its length is put in.
pub(crate) fn sized(words: &mut Words) -> Vec<u8> {
    let bytes = raw(words);
    packet(bytes[0], &bytes[1..])
}

fn hex(word: &str) -> u8 {
    u8::from_str_radix(word, 16).unwrap_or_else(|_| panic!("not a byte: {word}"))
}
