"""Expected beside realised: on posteriors whose calibration is known, by hand and at random."""

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from air_lightning.metrics.calibration import Correction, calibration_error, central_mass, objects_found, reliability
from air_lightning.metrics.confidence import ITSELF, POWERS, Calibration, Identities, PoseGaps

TURN = 2 * math.pi
NAN = math.nan
ANGLES = {"x": False, "yaw": True}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# ---- detections


@pytest.mark.parametrize(
    "slots, true, count, expected",
    [
        ([0.0, 5.0], [0.1, 4.8], 2, [0, 1]),
        ([5.0, 0.0], [0.1, 4.8], 2, [1, 0]),
        ([0.0, 0.1], [0.0, 4.8], 2, [0, -1]),  # two on one object: the surer one has it
        ([0.0, 0.1], [0.1, -0.11], 2, [0, -1]),  # and takes the nearest, which leaves the other too far away
        ([0.0, 9.0], [0.2, 9.0], 1, [0, -1]),  # what is not there is not found
        ([0.0, 1.0], [0.21, 4.0], 2, [-1, -1]),
        ([0.0, 1.0], [0.0, NAN], 0, [-1, -1]),
    ],
)
def test_an_object_is_found_once(slots: list[float], true: list[float], count: int, expected: list[int]) -> None:
    positions = (torch.tensor(part).view(1, 2, 1) for part in (slots, true))
    assert objects_found(*positions, torch.tensor([count]), 0.2001).tolist() == [expected]


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((2, 3, 2), (2, 1, 3), (2,)), "got (2, 3, 2) and (2, 1, 3): leave out the coordinates that one side lacks"),
        (((2, 3, 2), (2, 1, 2), (3,)), "true_count must have shape (scenes,) = (2,), got (3,)"),
    ],
)
def test_positions_that_do_not_fit(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        objects_found(*(torch.zeros(shape) for shape in shapes), 0.1)


# ---- bins of confidence


def test_bins_by_hand() -> None:
    confidence, right = torch.tensor([0.05, 0.45, 0.49, 1.0]), torch.tensor([False, True, False, True])
    table = reliability(confidence, right, bins=2)
    assert [part.tolist() for part in table] == [[3, 1], pytest.approx([0.99, 1]), [1, 1]]
    assert float(calibration_error(table)) == pytest.approx(0.01 / 4, abs=1e-6)
    assert math.isnan(calibration_error(reliability(torch.zeros(0), torch.zeros(0))))


@pytest.mark.parametrize("sharper, low, high", [(1.0, 0, 0.01), (3.0, 0.1, 0.2), (0.3, 0.1, 0.2)])
def test_calibration_error_of_forecasts(sharper: float, low: float, high: float) -> None:
    """Of rain that falls as often as is said, more rarely, and more often."""
    truth = torch.rand(40_000)
    said = (sharper * truth.logit()).sigmoid()
    assert low <= float(calibration_error(reliability(said, torch.rand(40_000) < truth))) <= high


def test_bad_forecasts() -> None:
    with pytest.raises(ValueError, match=re.escape("got (3,) and (2,): pass whether each came true")):
        reliability(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match=re.escape("confidence must lie in [0, 1], got -2.5")):
        reliability(torch.tensor([0.5, -2.5]), torch.zeros(2))


# ---- intervals


def test_central_mass_of_straight_coordinates() -> None:
    gap = torch.tensor([0.0, 0.67449, -1.64485, 2 * 1.64485])
    assert central_mass(gap, torch.tensor([1.0, 1, 1, 2])).tolist() == pytest.approx([0, 0.5, 0.9, 0.9], abs=1e-4)


@pytest.mark.parametrize("period", [TURN, TURN / 4])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.8])
def test_central_mass_of_angles(period: float, share: float) -> None:
    """Against counting draws: how many lie nearer to the mean than the truth, on the circle."""
    sd, truth = share * period, 0.3 * share * period
    drawn = torch.remainder(sd * torch.randn(200_000) + period / 2, period) - period / 2
    expected = float((drawn.abs() < truth).float().mean())
    for copy in (0, -3, 2):
        mass = central_mass(torch.tensor(truth + copy * period), torch.tensor(sd), torch.tensor(period))
        assert float(mass) == pytest.approx(expected, abs=0.005)


def test_an_angle_that_cannot_be_seen_has_no_interval() -> None:
    assert math.isnan(central_mass(torch.tensor(0.1), torch.tensor(1.0), torch.tensor(0.0)))


# ---- powers


def metric(**changes: Any) -> Calibration:
    return Calibration(**{"slots": 3, "limit": 0.2, "angles": ANGLES, "identities": True, **changes})


def counted(posterior: Tensor, count: Tensor) -> Calibration:
    """A metric that has seen so many objects, none of which is anywhere near."""
    seen, scenes = metric(identities=False), len(count)
    nothing = PoseGaps(*(torch.zeros(0, 2),) * 3)
    seen.update(posterior.log(), torch.zeros(scenes, 3, 1), torch.ones(scenes, 3, 1), count, nothing)
    return seen


def test_powers_are_round_about_one() -> None:
    assert POWERS[ITSELF] == 1 and POWERS[0] < 1e-4 and POWERS[-1] == 64


@pytest.mark.parametrize("sharper", [0.4, 1.0, 3.0])
def test_the_power_of_the_count_undoes_what_made_it_sharper(sharper: float) -> None:
    truth = (1.5 * torch.randn(20_000, 4)).softmax(1)
    count = torch.multinomial(truth, 1).squeeze(1)
    said = (sharper * truth.log()).softmax(1)
    fit = counted(said, count).fit()
    assert fit.count.power == pytest.approx(1 / sharper, rel=0.05)
    assert fit.count.tilt == pytest.approx(0, abs=0.03) and fit.count.doubt < 0.005
    assert fit.pose == {"x": 1.0, "yaw": 1.0}  # of which nothing was seen


@pytest.mark.parametrize("sharper", [0.4, 1.0, 3.0])
def test_the_power_of_identities_undoes_what_made_them_sharper(sharper: float) -> None:
    scenes = 10_000
    truth = (1.5 * torch.randn(scenes, 1, 4)).softmax(2)
    said = (sharper * truth.log()).softmax(2)
    true = torch.multinomial(truth.squeeze(1), 1)
    seen, nothing = metric(slots=1), PoseGaps(*(torch.zeros(0, 2),) * 3)
    posterior, place = torch.tensor([[0.0, 1.0]]).repeat(scenes, 1), torch.zeros(scenes, 1, 1)
    identities = Identities(said.argmax(2), said.log(), true)
    seen.update(posterior.log(), place, place, torch.ones(scenes).long(), nothing, identities)
    fit = seen.fit().identity
    assert fit.power == pytest.approx(1 / sharper, rel=0.05) and fit.tilt == 0.0 and fit.doubt < 0.005


def test_what_nobody_knows_is_not_corrected() -> None:
    assert counted(torch.tensor([[0.1, 0.9, 0.0, 0.0]]), torch.tensor([1])).fit().identity == Correction()
    assert counted(torch.zeros(0, 4), torch.zeros(0).long()).fit().count == Correction()


def test_a_count_that_was_never_wrong_has_a_finite_power() -> None:
    posterior = torch.tensor([[0.02, 0.02, 0.94, 0.02]]).repeat(200, 1)
    fit = counted(posterior, torch.full((200,), 2)).fit()
    assert 1 < fit.count.power < 8 and abs(fit.count.tilt) < 0.5 and fit.count.doubt < 1 / 50


def test_what_is_certain_and_wrong_costs_much_but_not_everything() -> None:
    loss = counted(torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([1])).compute()["count_log_loss"]
    assert 80 < float(loss) < 100


@pytest.mark.parametrize("wider", [0.25, 1.0, 6.0])
def test_the_power_of_a_pose_undoes_what_made_it_wider(wider: float) -> None:
    fit = posed(gaps(4_000, wider)).fit()
    assert fit.pose == pytest.approx({"x": wider**2, "yaw": wider**2}, rel=0.2)


def posed(poses: PoseGaps) -> Calibration:
    """A metric that has seen these objects."""
    seen = metric()
    seen.update(POSTERIOR[:0], POSITION[:0], TRUE[:0], torch.zeros(0, dtype=torch.long), poses)
    return seen


def gaps(number: int, wider: float = 1.0) -> PoseGaps:
    """Truths drawn from Gaussians of many widths, and posteriors that say they are so much wider."""
    sd = 0.01 + 0.04 * torch.rand(number, 2)
    period = torch.tensor([NAN, TURN / 4]).expand(number, 2)
    turns = torch.stack([torch.zeros(number), TURN / 4 * torch.randint(-2, 3, (number,))], 1)
    return PoseGaps(sd * torch.randn(number, 2) + turns, sd * wider, period)


def test_outliers_do_not_widen_intervals() -> None:
    off = gaps(2_000)
    off.gap[:20, 0] = 100.0
    assert posed(off).fit().pose["x"] == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("wider, expected", [(0.25, (0.134, 0.319)), (1.0, (0.5, 0.9)), (3.0, (0.957, 1.0))])
def test_coverage(wider: float, expected: tuple[float, float]) -> None:
    seen = posed(gaps(4_000, wider))
    figures = seen.compute()
    assert tuple(float(figures[f"coverage{level}"]) for level in (50, 90)) == pytest.approx(expected, abs=0.02)
    for coordinate in ANGLES:
        row = seen.record()["coverage"][coordinate]
        assert row["objects"] == 4_000 and row["coverage50"] == pytest.approx(expected[0], abs=0.03)


def test_unknown_and_invisible_angles_are_left_out() -> None:
    known = gaps(100)
    period = known.period.clone()
    known.gap[:10, 1], period[10:30, 1] = NAN, 0.0
    seen = posed(known._replace(period=period))
    assert {name: row["objects"] for name, row in seen.record()["coverage"].items()} == {"x": 100, "yaw": 70}


# ---- the metric

POSTERIOR = torch.tensor([[0.0, 0.2, 0.8, 0.0], [0.6, 0.4, 0.0, 0.0]]).log()
POSITION = torch.tensor([[[0.0], [1.0], [2.0]], [[0.0], [1.0], [2.0]]])
TRUE = torch.tensor([[[0.1], [3.0]], [[0.0], [NAN]]])
INFERRED = torch.tensor([[0, 1, 1], [0, 0, 0]])
SURE = torch.full((2, 3, 3), 0.15).scatter(2, INFERRED.unsqueeze(2), 0.7)
IDENTITIES = Identities(INFERRED, SURE.log(), torch.tensor([[0, 2], [1, -7]]))
POSES = PoseGaps(torch.tensor([[0.1, 0.0]]), torch.tensor([[0.1, 1.0]]), torch.tensor([[NAN, TURN]]))
BY_HAND = {
    # two objects are reported in the first scene, of which one is there; none in the second, where there is one
    "expected_count": 1.1, "true_count": 1.5, "count_log_loss": -(math.log(0.8) + math.log(0.4)) / 2,
    "stated_precision": 0.9, "precision": 0.5, "recall": 1 / 3,
    # slots are 1, 0.8, 0, 0.4, 0, 0 sure, and the first of either scene is right
    "calibration_error": (0.8 + 0.6) / 6, "identity_calibration_error": 0.3,
    # one sd off in x, not at all in yaw
    "coverage50": 0.5, "coverage90": 1.0,
}  # fmt: skip


def plain(figures: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items()}


def test_metric_by_hand() -> None:
    seen = metric()
    seen.update(POSTERIOR, POSITION, TRUE, torch.tensor([2, 1]), POSES, IDENTITIES)
    assert plain(seen.compute()) == pytest.approx(BY_HAND, abs=1e-5)
    record = seen.record()
    assert record["reliability"]["presence"][4] == pytest.approx(
        {"from": 0.4, "to": 0.5, "number": 1, "confidence": 0.4, "right": 1.0}
    )
    assert record["reliability"]["identity"][6]["number"] + record["reliability"]["identity"][7]["number"] == 1
    assert sum(row["number"] for row in record["reliability"]["presence"]) == 6
    assert json.loads(json.dumps(record)).keys() == {"reliability", "coverage"}


def test_without_identities_and_coordinates() -> None:
    seen = metric(identities=False, angles={})
    seen.update(POSTERIOR, POSITION, TRUE, torch.tensor([2, 1]), PoseGaps(*(torch.zeros(1, 0),) * 3))
    figures = plain(seen.compute())
    assert "identity_calibration_error" not in figures and math.isnan(figures["coverage50"])
    assert list(seen.record()["reliability"]) == ["presence"] and seen.record()["coverage"] == {}


def test_nothing_seen_is_nan() -> None:
    assert all(math.isnan(value) for value in plain(posed(gaps(0)).compute()).values())


def test_data_without_room_for_an_object() -> None:
    found = objects_found(torch.zeros(2, 3, 1), torch.zeros(2, 0, 1), torch.zeros(2), 0.1)
    assert found.tolist() == [[-1] * 3] * 2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"slots": 0}, "slots must be >= 1, got 0"),
        ({"bins": 0}, "bins must be >= 1, got 0"),
        ({"limit": 0.0}, "limit must be > 0, got 0.0"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        metric(**changes)


def test_a_posterior_of_another_number_of_slots() -> None:
    with pytest.raises(ValueError, match=re.escape("= (2, 4), got (2, 3): give the log probability of every")):
        metric().update(POSTERIOR[:, :3], POSITION, TRUE, torch.tensor([2, 1]), POSES, IDENTITIES)


def batches() -> list[tuple[Any, ...]]:
    random = torch.Generator().manual_seed(1)
    found = []
    for scenes in (4, 1, 3):
        identities = (torch.randint(0, 3, (scenes, n), generator=random) for n in (3, 2))
        position = torch.rand(scenes, 3, 1, generator=random)
        count = torch.randint(0, 3, (scenes,), generator=random)
        posterior = torch.randn(scenes, 4, generator=random).log_softmax(1)
        inferred, true = identities
        sure = torch.randn(scenes, 3, 3, generator=random)
        found.append((posterior, position, position[:, :2], count, gaps(scenes), Identities(inferred, sure, true)))
    return found


def filled(some: list[tuple[Any, ...]]) -> Calibration:
    seen = metric()
    for batch in some:
        seen.update(*batch)
    return seen


# batches of each of two processes
SHARES = {"uneven": [[0, 2], [1]], "one without data": [[0, 1, 2], []]}


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    results = {}
    every = pickle.loads(Path(folder, "batches").read_bytes())
    for name, share in SHARES.items():
        seen = filled([every[i] for i in share[rank]])
        seen._update_count = 1  # a process without data is what we test, not torchmetrics' warning of it
        results[name] = plain(seen.compute()), seen.record(), seen.fit(), float(seen.counts[0])
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(results))
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    every = batches()
    Path(tmp_path, "batches").write_bytes(pickle.dumps(every))
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)  # type: ignore[attr-defined,no-untyped-call]
    whole = filled(every)
    for rank in range(2):
        for name, (got, record, fit, own) in pickle.loads(Path(tmp_path, f"{rank}.pickle").read_bytes()).items():
            assert got == pytest.approx(plain(whole.compute()), nan_ok=True, abs=1e-6)
            assert record["coverage"] == whole.record()["coverage"] and fit.pose == whole.fit().pose
            for mine, alone in ((fit.count, whole.fit().count), (fit.identity, whole.fit().identity)):
                assert mine == pytest.approx(alone, abs=1e-4)  # scenes come in another order
            assert own == sum(len(every[i][0]) for i in SHARES[name][rank])
