//! What clients say before they are authenticated: handshakes, frames, PROXY headers, SCRAM.

/// Handshakes and frames, sound and not.
pub(crate) fn websocket() -> Vec<Vec<u8>> {
    // How it is cut; the peer known or not, its handshake ours, its frames built.
    const BUILT: [u8; 2] = [7, 0];
    const KNOWN: [u8; 2] = [1, 1];
    let frame = |first: u8, payload: &[u8]| [&[first, 0x55, payload.len() as u8], payload].concat();
    let runs: [&[Vec<u8>]; 12] = [
        &[
            frame(0x82, b"\x10\x0c\0\x04MQTT"),
            frame(0x82, b"\x04\x02\0\x3c\0\0\xC0\0"),
        ],
        &[
            frame(0x02, b"\x10"),
            frame(0x89, b"ping"),
            frame(0x00, b"\x0c"),
            frame(0x8A, b""),
            frame(0x80, b"\0"),
        ],
        &[frame(0x81, b"text")],
        &[frame(0x01, "가".as_bytes()), frame(0x80, b"\xFF")],
        &[
            frame(0x82, b"a"),
            frame(0x88, b"\x03\xE8bye"),
            frame(0x82, b"b"),
        ],
        &[frame(0x88, b"")],
        &[frame(0x88, b"\x03\xED")],
        &[frame(0xC2, b"compressed")],
        &[frame(0x09, b"part of a ping"), frame(0x82, b"a")],
        &[frame(0x89, &[7; 126])],
        &[
            frame(0x82, &[7; 200]),
            frame(0x82, b""),
            frame(0x02, b""),
            frame(0x82, b"a"),
        ],
        // Not masked.
        &[vec![0x82, 0xFF, 1, b'a']],
    ];
    let mut seeds = Vec::new();
    for run in runs {
        seeds.push([&BUILT[..], &run.concat()].concat());
        seeds.push([&KNOWN[..], &run.concat()].concat());
    }
    // Frames as they are: one too long for an unauthenticated client, one for anybody, one of a length written long.
    let raw: [&[u8]; 3] = [
        b"\x82\xFF\0\0\0\0\0\x01\0\x01\0\0\0\0",
        b"\x82\xFF\x80\0\0\0\0\0\0\0\0\0\0\0",
        b"\x82\xFE\0\x01\0\0\0\0a",
    ];
    for frame in raw {
        seeds.push([&[3, 4][..], frame].concat());
        seeds.push([&[3, 5][..], frame].concat());
    }
    let head = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for request in [
        format!(
            "GET /mqtt?x HTTP/1.1\r\n{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, MQTT\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n\u{2}"
        ),
        format!(
            "GET /mqtt HTTP/1.1\r\n{head}Sec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        ),
        format!(
            "GET /mqtt HTTP/1.1\r\n{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nOrigin: https://a\r\n\r\n"
        ),
        format!(
            "GET /mqtt HTTP/1.1\r\n{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nOrigin: https://b:80\r\nOrigin: null\r\n\r\n"
        ),
        format!("GET /other HTTP/1.1\r\n{head}\r\n"),
        "POST * HTTP/1.0\nHost: \u{e9}\n\n\r\n\r\n".to_owned(),
        "\r\n\r\nGET".to_owned(),
        "\u{10}\u{c}\0\u{4}MQTT".to_owned(),
    ] {
        seeds.push([&[40, 6][..], request.as_bytes()].concat());
    }
    seeds
}

/// PROXY headers, sound and not, with something behind them.
pub(crate) fn proxy() -> Vec<Vec<u8>> {
    let v2 = |command: u8, family: u8, said: &[u8]| {
        let head = b"\r\n\r\n\0\r\nQUIT\n";
        let length = (said.len() as u16).to_be_bytes();
        [&head[..], &[command, family], &length, said].concat()
    };
    let v4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 7, 91];
    let mut headers: Vec<Vec<u8>> = [
        &b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 1883\r\n"[..],
        b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN \xFF a b c d e f g\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 01 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1 \r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1\n",
        b"PROXY \r\n\r\n\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    headers.push([&b"PROXY UNKNOWN "[..], &[b'x'; 91], b"\r\n"].concat());
    headers.push([&b"PROXY UNKNOWN "[..], &[b'x'; 92], b"\r\n"].concat());
    headers.push(v2(0x21, 0x11, v4));
    headers.push(v2(0x21, 0x12, &[v4, &[4, 0, 3, 0, 0, 0]].concat()));
    headers.push(v2(0x21, 0x11, &v4[..11]));
    headers.push(v2(0x21, 0x21, &[1; 36]));
    headers.push(v2(0x21, 0x31, &[0; 216]));
    headers.push(v2(0x21, 0x00, b"any"));
    headers.push(v2(0x21, 0x41, v4));
    headers.push(v2(0x21, 0x13, v4));
    headers.push(v2(0x20, 0x00, b""));
    headers.push(v2(0x20, 0xFF, b"any"));
    headers.push(v2(0x22, 0x11, v4));
    headers.push(v2(0x31, 0x11, v4));
    headers
        .iter()
        .enumerate()
        .map(|(number, header)| [&[1 + number as u8 * 3][..], header, b"\x10\x0c\r\nrest"].concat())
        .collect()
}

/// Logins by clients that know the password and that do not.
pub(crate) fn scram() -> Vec<Vec<u8>> {
    let nonces = [9; 18];
    // The header, the name, the client's nonce and what is behind it; the server's nonce; what is changed in the end.
    let built = |choice: u8, header: u8, name: u8, behind: u8, last: &[u8]| {
        [
            &[choice, header, name, 3][..],
            b"abc",
            &[behind],
            &nonces,
            last,
        ]
        .concat()
    };
    let mut seeds = Vec::new();
    for choice in [0, 1] {
        for (header, name, behind) in [
            (0, 0, 0),
            (1, 1, 1),
            (2, 0, 0),
            (6, 2, 0),
            (0, 3, 0),
            (4, 0, 0),
            (0, 0, 2),
            (5, 0, 0),
            (0, 5, 3),
        ] {
            seeds.push(built(choice, header, name, behind, &[2, 2, 0, 1]));
        }
        // Another header, another nonce, extensions, a proof that was overheard.
        for last in [
            &[1, 2, 0, 1][..],
            &[2, 1, 0, 1],
            &[2, 2, 1, 1],
            &[2, 2, 2, 1],
            &[2, 2, 5, 1],
            &[2, 2, 0, 0, 1],
        ] {
            seeds.push(built(choice, 1, 0, 0, last));
        }
    }
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    seeds.push(
        [
            &[6, first.len() as u8][..],
            first,
            &nonces,
            &[last.len() as u8],
            last,
        ]
        .concat(),
    );
    seeds
}
