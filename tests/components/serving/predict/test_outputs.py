import pytest

from components import storage
from components.serving.predict.outputs import open_outputs, output_uris
from tests.conftest import OBJECT_STORES
from tests.object_stores import Faults, reset_after_it_is_done


@pytest.mark.object_store
@pytest.mark.usefixtures("impatient_stores")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
def test_outputs_are_published_despite_a_lost_response(remote_root: str, faults: Faults) -> None:
    for number, disturbed in faults.each_request(reset_after_it_is_done):
        uri = f"{remote_root}/{number}/predictions.csv"
        with disturbed, open_outputs(uri, ["Nucleoplasm"]):
            pass
        contents = [storage.read_bytes(output) for output in output_uris(uri)]
        assert contents == [b"Id,Decisions,Nucleoplasm\n", b"Id,Predicted\n", b"Id,Reason\n", b"Id,Distance,Unlike\n"]


@pytest.mark.parametrize("root", ["local_root", *OBJECT_STORES])
def test_other_predictions_are_not_overwritten(root: str, request: pytest.FixtureRequest) -> None:
    uri = storage.join(request.getfixturevalue(root), "predictions.csv")

    def predict() -> None:
        with open_outputs(uri, ["Nucleoplasm"]):
            storage.write_bytes(uri, b"of another process")

    with pytest.raises(FileExistsError, match=f"{uri} already exists with other content"):
        predict()
    with pytest.raises(FileExistsError, match=f"{uri} already exists"):
        predict()
    assert storage.read_bytes(uri) == b"of another process"
