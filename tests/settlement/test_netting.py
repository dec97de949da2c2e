from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from settlement import money, netting
from settlement.money import Movement, settle
from settlement.netting import Mode
from settlement.sheet import draw_up

matrices = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] != pair[1]),
    st.integers(1, 10**12),
)


def a_movement(debtor: int, creditor: int, micro: int) -> Movement:
    return Movement(
        purpose="redemption", debit=settle(debtor), credit=settle(creditor), micro=micro, points=1
    )


@given(matrices)
def test_nets_sum_to_zero(owed: dict[tuple[int, int], int]) -> None:
    assert sum(netting.net(owed).values()) == 0


@given(matrices, st.sampled_from(Mode))
def test_every_mode_leaves_everybody_with_the_same(owed: dict[tuple[int, int], int], mode: Mode) -> None:
    nets = {partner: micro for partner, micro in netting.net(owed).items() if micro}

    paid = netting.net(netting.payments(owed, mode))

    assert {partner: micro for partner, micro in paid.items() if micro} == nets
    assert all(micro > 0 for micro in netting.payments(owed, mode).values())


@given(matrices)
def test_the_more_is_netted_the_less_money_moves(owed: dict[tuple[int, int], int]) -> None:
    moved = [netting.moved_total(owed, mode) for mode in (Mode.MULTILATERAL, Mode.BILATERAL, Mode.GROSS)]

    assert moved == sorted(moved)
    assert moved[2] == sum(owed.values())
    assert 0 <= netting.efficiency(owed, Mode.BILATERAL) <= netting.efficiency(owed, Mode.MULTILATERAL) <= 1


def test_efficiency_is_exact() -> None:
    owed = {(1, 2): 2, (2, 1): 1}

    assert netting.efficiency(owed, Mode.MULTILATERAL) == Fraction(2, 3)
    assert netting.efficiency({}, Mode.MULTILATERAL) == 0


def test_who_is_even_pays_nobody_and_the_operator_pays_not_itself() -> None:
    """1 owes 5 to 2, who owes as much to 3, who owes 2 to the operator; 4 and 5 owe each other the same."""
    owed = {(1, 2): 5, (2, 3): 5, (3, 0): 2, (4, 5): 7, (5, 4): 7}

    assert netting.payments(owed, Mode.MULTILATERAL) == {(1, 0): 5, (0, 3): 3}
    assert netting.payments(owed, Mode.BILATERAL) == {(1, 2): 5, (2, 3): 5, (3, 0): 2}
    assert netting.payments(owed, Mode.GROSS) == owed


def test_a_negative_obligation_is_turned_round() -> None:
    owed = netting.obligations([a_movement(1, 2, -5), a_movement(2, 1, 3)])

    assert owed == {(2, 1): 8}


def test_two_negative_obligations_change_places() -> None:
    owed = netting.obligations([a_movement(1, 2, -5), a_movement(2, 1, -3)])

    assert owed == {(1, 2): 3, (2, 1): 5}


def test_what_is_owed_to_oneself_or_only_noted_is_no_obligation() -> None:
    noted = Movement(
        purpose="memo",
        debit=money.Account(money.MEMO[0], 1),
        credit=money.Account(money.MEMO[1], 1),
        micro=7,
        points=7,
    )

    assert netting.obligations([a_movement(1, 1, 5), noted]) == {}


@given(matrices, st.dictionaries(st.integers(1, 7), st.integers(-(10**12), 10**12)))
def test_every_column_of_a_sheet_sums_to_zero(
    owed: dict[tuple[int, int], int], openings: dict[int, int]
) -> None:
    sheet = draw_up(owed, partners=[1, 9], openings=openings, currency="RUB")

    assert sheet.sum_micro == 0
    assert sum(line.opening_micro for line in sheet.lines) == 0
    assert sum(line.payable_micro for line in sheet.lines) == 0
    assert {1, 9} <= {line.partner for line in sheet.lines}


@given(st.integers(-(10**12), 10**12), st.sampled_from([("RUB", 10**4), ("JPY", 10**6), ("KWD", 10**3)]))
def test_what_is_paid_is_cut_toward_zero_to_the_minor_unit(due: int, unit: tuple[str, int]) -> None:
    currency, minor = unit

    line = draw_up({}, partners=[1], openings={1: due}, currency=currency).line(1)

    assert line.payable_micro % minor == 0
    assert abs(line.payable_micro) <= abs(due) < abs(line.payable_micro) + minor
    assert line.payable_micro + line.carried_micro == line.due_micro == due
