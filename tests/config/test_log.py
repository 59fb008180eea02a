import logging

import pytest

from edgesdk.log import log_to_stderr


@pytest.fixture
def _logging_as_before():
    root, own = logging.getLogger(), logging.getLogger("edgesdk")
    handlers, level = list(root.handlers), own.level
    yield
    root.handlers[:] = handlers
    own.setLevel(level)


@pytest.mark.usefixtures("_logging_as_before")
def test_a_line_on_standard_error_has_no_credentials_whoever_wrote_it(capsys):
    log_to_stderr(verbose=True)
    log_to_stderr(verbose=True)
    logging.getLogger("edgesdk.capture").info("opening %s", "rtsp://bob:hunter2@host/s")
    logging.getLogger("somebody").warning("http://host/x?token=abracadabra")
    logging.getLogger("somebody").info("not about edgesdk")
    try:
        raise ValueError("rtsp://bob:hunter2@host")
    except ValueError:
        logging.getLogger("edgesdk").exception("failed")
    said = capsys.readouterr().err
    assert said.startswith(
        "I edgesdk.capture: opening rtsp://***@host/s\nW somebody: http://host/x?token=***\n"
    )
    assert "hunter2" not in said
    assert "not about edgesdk" not in said
