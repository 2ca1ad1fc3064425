import pytest

from troupe.core import EngineError, InterruptedRun, TroupeError, UserError
from troupe.core.errors import unknown


def test_exit_codes() -> None:
    codes = {error: error.exit_code for error in (UserError, EngineError, InterruptedRun)}
    assert codes == {UserError: 2, EngineError: 1, InterruptedRun: 130}
    assert all(issubclass(error, TroupeError) for error in codes)


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (["mara", "scara"], "arm: unknown robot 'scra'. Did you mean 'scara'? Valid: mara, scara."),
        (["b", "a"], "arm: unknown robot 'scra'. Valid: a, b."),
        ([], "arm: unknown robot 'scra'. Valid: none."),
    ],
)
def test_unknown_names_the_nearest_and_all_valid_names(valid: list[str], message: str) -> None:
    assert str(unknown("robot", "scra", valid, "arm")) == message
