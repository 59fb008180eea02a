"""A mistake in an application is found when its graph is built, and the message says it all."""

from collections.abc import Callable

import pytest

import edgesdk as edge
from edgesdk.errors import EdgeError, GraphError, ModelNotFound, UnknownModel
from edgesdk.graph import Plan, load_application

MISTAKES = {
    # a typo, a missing parameter, one without a name
    "camera.gate(treshold=0.1)": (
        "gate(treshold=0.1): unknown parameter 'treshold'; did you mean 'threshold'? "
        "it takes threshold, hold, sensitivity, adapt, every, zone"
    ),
    "camera.sample()": "sample: needs fps=; it takes fps",
    "camera.gate(0.1)": (
        "gate(0.1): parameters are given by name; "
        "it takes threshold, hold, sensitivity, adapt, every, zone"
    ),
    # values
    "camera.gate(threshold=3)": "gate(threshold=3): expected a number from 0 to 1",
    "camera.gate(threshold=True)": "gate(threshold=True): expected a number from 0 to 1",
    "camera.sample(fps=0)": "sample(fps=0): expected a number above 0 up to 1000",
    "camera.sample(fps=float('nan'))": "sample(fps=nan): expected a number above 0 up to 1000",
    "camera.gate(hold='soon')": (
        'gate(hold=\'soon\'): expected a duration such as "500ms", "1.5s" or "2m", '
        "or a number of seconds"
    ),
    "camera.crop(box=(0, 0, 2, 1))": (
        "crop(box=(0, 0, 2, 1)): expected (x1, y1, x2, y2) in [0, 1] of the frame, "
        "x1 < x2 and y1 < y2"
    ),
    "camera.crop(box=(0, 0, .2, 1)).crop(box=(.5, 0, 1, 1))": (
        "crop(box=(0.5, 0, 1, 1)): expected a part of what the stream already looks at"
    ),
    "camera.zone(polygon=[(0, 0), (1, 1)])": (
        "zone(polygon=[(0, 0), (1, 1)]): expected 3 or more points (x, y) in [0, 1] of the frame"
    ),
    "camera.detect('people').track(low=0.9)": (
        "track(low=0.9): expected at most high, which is 0.5"
    ),
    "camera.detect('people', classes=[])": (
        "detect(classes=[]): expected a list of class names, such as [\"person\"]"
    ),
    "camera.detect('people').track().line_count(line=[(0, 0), (0, 0)])": (
        "line_count(line=[(0, 0), (0, 0)]): expected 2 points (x, y) in [0, 1] of the frame, "
        "all different"
    ),
    "camera.detect('people').track().speed(scale=-1)": (
        "speed(scale=-1): expected a number above 0"
    ),
    "camera.detect('people').track().speed(scale=[[1, 0, 0], [0, 1, 0], [0, 0, 0]])": (
        "speed(scale=[[1, 0, 0], [0, 1, 0], [0, 0, 0]]): expected metres a pixel (a number above "
        "0), or 3 rows of 3 numbers (an invertible homography)"
    ),
    "camera.detect('people').track().count().window(seconds=5)": (
        "window: count gives several numbers: field= one of now, total"
    ),
    "camera.detect('people').track().count().window(seconds=5, field='totl')": (
        "window(field='totl'): expected one of now, total; did you mean 'total'?"
    ),
    "camera.embed('faces').window(seconds=5)": (
        "window: needs numbers, and this is a stream of embeddings"
    ),
    "camera.detect('people').track().speed(scale=1, name='v').window(seconds=1, field='speed')": (
        "window(field='speed'): expected one of count, score, v"
    ),
    "camera.detect('people').to_mqtt('http://x', topic='a')": (
        "to_mqtt: url: expected mqtt://HOST:PORT or mqtts://HOST:PORT"
    ),
    # a stream of the wrong type
    "camera.track()": (
        "track: needs detections, and this is a stream of frames; call .detect(MODEL) first"
    ),
    "camera.count()": (
        "count: needs tracks, and this is a stream of frames; call .detect(MODEL).track() first"
    ),
    "camera.detect('people').count()": (
        "count: needs tracks, and this is a stream of detections; call .track() first"
    ),
    "camera.detect('people').sample(fps=1)": (
        "sample: needs frames, and this is a stream of detections; call it on the camera"
    ),
    "camera.to_jsonl('x')": (
        "to_jsonl: needs detections, and this is a stream of frames; call .detect(MODEL) first"
    ),
    "camera.detekt('people')": (
        "detekt: a stream of frames has no such operator; did you mean 'detect'?"
    ),
    "camera.apply(len)": (
        "apply: len is not an operator; write @edge.operator(version=1) above it"
    ),
    # what a stream is not
    "1 if camera.gate() else 2": (
        "if: a stream has no values while the graph is built; decide inside an operator"
    ),
    "[frame for frame in camera]": (
        "for: a stream has no values while the graph is built; loop inside an operator"
    ),
    "setattr(camera, 'rate', 1)": (
        "rate = ...: a stream cannot be changed: every operator gives a new one"
    ),
    # models
    "camera.detect('people', classes=['person', 'persn'])": (
        "detect(classes=['persn', 'person']): model 'people' has no class 'persn'; "
        "did you mean 'person'? it has person, bicycle"
    ),
    "camera.detect('people').track().filter(classes='dog')": (
        "filter(classes=['dog']): model 'people' has no class 'dog'; it has person, bicycle"
    ),
    "camera.classify('people')": (
        "classify: model 'people' is made to detect, not to classify"
    ),
    "camera.detect('poeple')": "detect: no model is called 'poeple'",
    # exceptions of the user's own
    "1 / 0": "main: ZeroDivisionError: division by zero",
    "camra": "main: NameError: name 'camra' is not defined",
}  # fmt: skip


@pytest.mark.parametrize(("expression", "message"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_names_file_line_operator_parameter_value_and_expectation(
    built: Callable[[str], Plan], expression: str, message: str
) -> None:
    with pytest.raises(EdgeError) as caught:
        built(expression)
    assert str(caught.value) == f"app.py:6: {message}"
    assert type(caught.value) in (GraphError, UnknownModel)


RETURNED = {
    "None": "main: returns nothing; return a stream, or a dict of named streams",
    "3": "main: returns 3; expected a stream, or a dict of named streams",
    "{}": "main: returns an empty dict; name a stream at least",
    "{'a': None}": "main: output 'a': expected a stream, got None",
    "{1: camera}": "main: output name 1: expected a text",
    "{'a': camera.gate()}": (
        "main: output 'a': is a stream of frames, and frames are no results; "
        "add an operator such as .detect(MODEL)"
    ),
}


@pytest.mark.parametrize(("expression", "message"), RETURNED.items(), ids=RETURNED)
def test_what_is_returned_must_be_streams_of_results(
    built: Callable[[str], Plan], expression: str, message: str
) -> None:
    with pytest.raises(GraphError) as caught:
        built(expression)
    assert str(caught.value) == f"app.py:4: {message}"


def test_a_model_that_is_not_found_is_a_model_error_too_and_keeps_its_exit_code(
    built: Callable[[str], Plan],
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        built("camera.detect('nobody')")
    assert caught.value.exit_code == ModelNotFound.exit_code
    assert type(caught.value) is UnknownModel


def test_the_line_is_that_of_the_call_within_a_long_expression(
    built: Callable[[str], Plan],
) -> None:
    with pytest.raises(GraphError, match=r"^app\.py:9: track\(high=2\)"):
        built("(\n        camera.gate()\n        .detect('people')\n        .track(high=2)\n    )")


def test_a_stream_that_feeds_itself_is_called_a_cycle(
    write: Callable[..., str], compiled: Callable[..., Plan]
) -> None:
    file = write(
        "import edgesdk as edge\n"
        "@edge.operator(version=1)\n"
        "def merge(a, b):\n"
        "    return a\n"
        "@edge.app\n"
        "def main(camera):\n"
        "    found = camera.detect('people').apply(merge, smooth)\n"
        "    smooth = found.track()\n"
        "    return smooth\n"
    )
    with pytest.raises(GraphError) as caught:
        compiled(load_application(f"{file}:main"))
    message = str(caught.value)
    assert message.startswith("app.py:7: main: UnboundLocalError:")
    assert "'smooth'" in message
    assert message.endswith("; a stream cannot feed itself: a graph has no cycles")


def test_applications_that_use_each_other_are_a_cycle(
    write: Callable[..., str], compiled: Callable[..., Plan]
) -> None:
    file = write(
        "import edgesdk as edge\n"
        "@edge.app\n"
        "def people(camera):\n"
        "    return crowd(camera)\n"
        "@edge.app\n"
        "def crowd(camera):\n"
        "    return people(camera)\n"
    )
    with pytest.raises(GraphError) as caught:
        compiled(load_application(f"{file}:people"))
    assert str(caught.value) == (
        "app.py:7: people: the graph has a cycle: people -> crowd -> people"
    )


def test_a_cycle_forced_into_the_nodes_is_found_when_compiled(
    write: Callable[..., str], compiled: Callable[..., Plan]
) -> None:
    file = write(
        "import edgesdk as edge\n"
        "@edge.app\n"
        "def main(camera):\n"
        "    tracks = camera.detect('people').track()\n"
        "    fast = tracks.speed(scale=1)\n"
        "    object.__setattr__(tracks._node, 'inputs', (fast._node,))\n"
        "    return fast\n"
    )
    with pytest.raises(GraphError) as caught:
        compiled(load_application(f"{file}:main"))
    assert str(caught.value) == "app.py:5: speed: the graph has a cycle: track -> speed -> track"


def test_a_stream_of_another_camera_cannot_be_used(compiled: Callable[..., Plan]) -> None:
    kept = []

    @edge.app
    def first(camera: edge.Camera) -> edge.DetectionStream:
        kept.append(camera.detect("people"))
        return kept[0]

    compiled((first, "door"))
    with pytest.raises(GraphError, match=r"output 'output': a stream of application 'first' on "
                       r"camera 'door', made at .*test_mistakes.py:\d+, cannot be used in "
                       r"application 'first' on camera 'yard'"):  # fmt: skip
        compiled((first, "yard"))


def test_a_stream_of_another_application_cannot_be_an_input(compiled: Callable[..., Plan]) -> None:
    kept = []

    @edge.operator(version=1)
    def both(a: edge.Detections, b: edge.Detections) -> edge.Detections:
        return a

    @edge.app
    def giver(camera: edge.Camera) -> edge.DetectionStream:
        kept.append(camera.detect("people"))
        return kept[0]

    @edge.app
    def taker(camera: edge.Camera) -> edge.DetectionStream:
        return camera.detect("people").apply(both, kept[0])

    compiled(giver)
    with pytest.raises(GraphError, match=r"both: a stream of application 'giver' on camera 'door' "
                       r"cannot be used in application 'taker' on camera 'door'"):  # fmt: skip
        compiled(taker)


def test_two_applications_of_one_name_are_refused(compiled: Callable[..., Plan]) -> None:
    def make() -> edge.Application:
        @edge.app
        def people(camera: edge.Camera) -> edge.DetectionStream:
            return camera.detect("people")

        return people

    with pytest.raises(GraphError, match=r"people: another application has this name, at .*; give "
                       r"one of them @edge.app\(name=...\)"):  # fmt: skip
        compiled(make(), make())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deadline": "soon"}, r"app\(deadline='soon'\): expected a duration such as"),
        ({"deadline": 0}, r"app\(deadline=0\): expected .* seconds, above zero"),
        ({"dedline": 1}, r"unknown parameter 'dedline'; did you mean 'deadline'\?"),
        ({"weight": 0}, r"app\(weight=0\): expected a number above 0"),
        ({"cameras": []}, r"app\(cameras=\[\]\): expected camera names"),
    ],
)
def test_an_applications_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        edge.app(**options)


@pytest.mark.parametrize(
    ("deadline", "nanoseconds"),
    [("500ms", 500_000_000), ("1s", 1_000_000_000), (2, 2_000_000_000), (0.25, 250_000_000)],
)
def test_a_deadline_is_a_duration_or_a_number_of_seconds(deadline, nanoseconds) -> None:
    @edge.app(deadline=deadline)
    def main(camera: edge.Camera) -> edge.DetectionStream:
        return camera.detect("people")

    assert main.deadline_ns == nanoseconds


def test_an_application_takes_one_camera() -> None:
    with pytest.raises(GraphError, match="two: takes 2 parameters; expected one, the camera"):

        @edge.app
        def two(camera, other):
            return None


def test_an_applications_name_can_be_part_of_a_files_name() -> None:
    with pytest.raises(GraphError, match=r"app\(name='\.\./people'\): expected up to 64 letters"):
        edge.app(name="../people")(lambda camera: camera.detect("people"))
    with pytest.raises(GraphError, match=r"app\(name='<lambda>'\): expected up to 64 letters"):
        edge.app()(lambda camera: camera.detect("people"))


def test_an_application_is_a_plain_function() -> None:
    with pytest.raises(GraphError, match="later: must be a plain function that returns its stream"):

        @edge.app
        async def later(camera):
            return camera.detect("people")


def test_an_application_says_which_cameras_it_wants() -> None:
    @edge.app(cameras=["door", "yard-*"])
    def main(camera: edge.Camera) -> edge.DetectionStream:
        return camera.detect("people")

    assert [main.wants(name) for name in ("door", "yard-3", "roof")] == [True, True, False]


def test_hasattr_works_on_streams(compiled: Callable[..., Plan]) -> None:
    seen = []

    @edge.app
    def main(camera: edge.Camera) -> edge.DetectionStream:
        seen.append((hasattr(camera, "detect"), hasattr(camera, "track")))
        return camera.detect("people")

    compiled(main)
    assert seen == [(True, False)]
