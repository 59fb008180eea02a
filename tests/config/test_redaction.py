import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.redaction import credentials, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:secret@host:554/s?x=1", "rtsp://***@host:554/s?x=1"),
        ("rtsp://user:p@ss@host/s", "rtsp://***@host/s"),
        ("rtsp://admin:pa/ss#1?@host/s", "rtsp://***@host/s"),
        ("http://token@host/", "http://***@host/"),
        ("http://cam/cgi?usr=admin&pwd=1234&cmd=snap", "http://cam/cgi?usr=***&pwd=***&cmd=snap"),
        ("https://h/x?api_key=abc&n=1", "https://h/x?api_key=***&n=1"),
        ("rtspsrc user-id=bob user-pw=secret ! x", "rtspsrc user-id=*** user-pw=*** ! x"),
        (
            "cannot open 'rtsp://a:b@h/s', 'rtsp://c:d@i'",
            "cannot open 'rtsp://***@h/s', 'rtsp://***@i'",
        ),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
        ("{'authorization': 'Bearer abcdefghij'}", "{'authorization': '***'}"),
        ('password = "x y"', "password = ***"),
    ],
)
def test_credentials_are_hidden_and_the_rest_is_kept(text, shown):
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "mqtt://host:1883/a",
        "people.py:people@door",
        "http://host/@me",
        "401 basic realm",
        "user is away",
    ],
)
def test_what_is_no_credential_is_left_as_it_is(text):
    assert redact(text) == text


def test_a_decoded_password_in_a_librarys_message_is_hidden():
    uri = "rtsp://us%40er:se%20c%2Fret@host/s"
    assert redact("login us@er with 'se c/ret' failed", credentials(uri)) == (
        "login *** with '***' failed"
    )


@pytest.mark.parametrize(
    ("location", "message", "shown"),
    [
        ("rtsp://u:pass@h", "Basic: dTpwYXNz", "Basic: ***"),
        ("rtsp://h/?token=a%2Fb1#x", "refused a/b1", "refused ***"),
        ('rtspsrc user-pw = "a b" ! x', "no: a b", "no: ***"),
        ("souphttpsrc proxy-pw=s3cret ! x", "s3cret?", "***?"),
        ("location=rtsp://a:bcde@h ! b location=rtsp://f:ghij@k", "bcde ghij", "*** ***"),
        ("rtsp://me:pw12@h", "me: some message", "***: some message"),
        ("rtsp://*:pw12@h", "* of ***", "* of ***"),
        ("rtsp://u\udcff:p\udcff12@h", "p\udcff12", "***"),
        ("video.mp4?pace=fast", "video.mp4 at pace fast", "video.mp4 at pace fast"),
    ],
)
def test_what_a_location_holds_is_hidden_in_each_spelling_a_library_has(location, message, shown):
    assert redact(message, credentials(location)) == shown


PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'<>"), min_size=4
)


@given(PASSWORDS)
def test_no_password_of_any_letters_is_shown(password):
    assert redact(f"cannot open rtsp://bob:{password}@host/stream: no") == (
        "cannot open rtsp://***@host/stream: no"
    )
