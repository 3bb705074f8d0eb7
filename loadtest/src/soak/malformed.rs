//! Requests that two readers may understand differently, and others that are none (RFC 9112 §11.2).

use crate::random::Random;

/// Returns one of them. If its end is taken for a request of its own, the origin sees
/// `/c/smuggled`.
pub(crate) fn request(random: &mut Random) -> Vec<u8> {
    let count = TEMPLATES.len() as u64;
    let index = usize::try_from(random.bits() % count).unwrap_or(0);
    let template = TEMPLATES.get(index).copied().unwrap_or_default();
    let smuggled = "GET /c/smuggled HTTP/1.1\r\nHost: a.soak.test\r\n\r\n";
    let text = template
        .replace("SMUGGLED", smuggled)
        .replace("LENGTH", &smuggled.len().to_string())
        .replace("START", "POST /n/1 HTTP/1.1\r\nHost: a.soak.test\r\n");
    text.into_bytes()
}

const TEMPLATES: [&str; 30] = [
    "STARTContent-Length: LENGTH\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTContent-Length: 0\r\nContent-Length: LENGTH\r\n\r\nSMUGGLED",
    "STARTContent-Length: 0, LENGTH\r\n\r\nSMUGGLED",
    "STARTContent-Length: +0\r\n\r\nSMUGGLED",
    "STARTContent-Length: -1\r\n\r\nSMUGGLED",
    "STARTContent-Length: 0x0\r\n\r\nSMUGGLED",
    "STARTContent-Length: 99999999999999999999999\r\n\r\nSMUGGLED",
    "STARTContent-Length : LENGTH\r\n\r\nSMUGGLED",
    "STARTContent-Length:\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: identity, chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "START Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
    "STARTX: \x00y\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\nSMUGGLED",
    "STARTTransfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n\r\n0\r\n\r\nSMUGGLED",
    "GET http://b.soak.test/c/1 HTTP/1.1\r\nHost: a.soak.test\r\n\r\n",
    "GET /c/1 HTTP/1.1\r\nHost: a.soak.test\r\nHost: b.soak.test\r\n\r\n",
    "GET /c/1\r\nHost: a.soak.test\r\n\r\n",
    "GET /c/1 HTTP/1.1\nHost: a.soak.test\n\nGET /c/1 HTTP/9.9\r\n\r\n",
];
