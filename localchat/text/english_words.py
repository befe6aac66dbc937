"""English words that are no names, however they are written: what a reply in Chinese does not begin to say."""

from __future__ import annotations

COMMON = frozenset(
    """
    a about above absolutely according actually additionally after again all almost also although always am an and
    another any are as ask at based because been before both but by can cannot certain certainly clearly could
    currently dear depending describe did do does doing done during each either especially even ever every everyone
    everything explain explanation few finally first firstly follow following follows for fortunately from
    furthermore generally give given great had happy has have having he hello help helpful her here hey hi him his
    hope how however i if important include includes including indeed instead into is it its itself just keep know
    known learn let like likely made make makes making many may maybe me means might more moreover most much must my
    need needed neither never nobody none nor not note nothing now of often ok okay on once one or other others
    otherwise our over overall perhaps please possible provide provided quite rather really regarding remember said
    same say says second secondly see seems several she should simply since some someone something sometimes sorry
    still such suppose sure take tell than thank thanks that the their them then there therefore these they think
    this those though three through thus to together too try two under understand unfortunately unless until upon us
    use used useful using usually various very want was we welcome well were what whatever when where whereas
    whether which while who whose why will with within without would write yes yet you your yours
    """.split()  # noqa: SIM905
)
"""With what English sentences begin and are held together, and answers open; few are a part of a name."""

UNITS = frozenset(
    """
    ah bit bits bps cal cm db dpi eb em fps gb gbps ghz gib hp hz kb kbps kcal kg khz kib kj km kpa kw kwh lb ma mah
    mb mbps mg mhz mi mib min ml mm mol mpa ms mv mw nd nm ns oz pa pb ph pm ppi ppm pt px rad rd rem rpm st tb tbps
    th tib um us vh vw wh
    """.split()  # noqa: SIM905
)
"""What stands behind a number, of more than one letter."""
