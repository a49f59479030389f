"""Words that rules about similar questions know: ways of asking, words that mean the same, words that decide.

English mostly. A word that is not listed counts as it stands: what is missing here costs hits and makes no wrong ones.
"""

from __future__ import annotations

from typing import Final


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


ASKING: Final = _listed(
    """
    a an the this that these those some any one single i me my mine we us our ours you your it its they them their
    somebody someone anybody people there here do does done doing have has having be been being am is are can could may
    might will would shall to of for on in at with and so as please tell explain show know say give get got take let
    mean meaning possible able allowed way ways apply applies
    der die das den dem des ein eine einen einem einer ist sind wird werden kann können darf ich wir sie es man im in am
    an für von zu le la les un une des du de d l est sont il elle on je nous vous que
    """
)
"""What a question is asked with: it may differ without asking for something else."""

ASKED_BY: Final = {
    word: row.split()[0]
    for row in (
        "what which was welche welcher welches quel quelle quels quelles qué cuál che quale",
        "who whom wer qui quién chi",
        "whose wessen",
        "when wann quand cuándo quando",
        "where wo où dónde dove",
        "why warum pourquoi",
        "how wie comment cómo come",
        "combien",
    )
    for word in row.split()
    if word not in ("was", "come")
}
"""What is asked for. A question may have several: "Who pays when it breaks?"."""

NUMBERS: Final = (
    {
        word: str(number)
        for row, start in (
            (
                "zero _ two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
                "seventeen eighteen nineteen twenty",
                0,
            ),
            ("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth", 1),
        )
        for number, word in enumerate(row.split(), start)
    }
    | {f"{word}ty": f"{tens}0" for tens, word in enumerate(("twen", "thir", "for", "fif", "six", "seven", "eigh"), 2)}
    | {"ninety": "90"}
    | {"hundred": "100", "thousand": "1000", "once": "1x", "twice": "2x", "both": "2", "half": "1/2"}
)
"""Number words. "one" is left to ``ASKING``: it is an article more often than a number."""

NEGATIONS: Final = _listed(
    """
    not no never none nobody nothing nowhere neither nor without cannot except unless excluding hardly rarely barely
    lack lacks lacking nicht kein keine keinen keinem keiner nie niemals ohne ne pas jamais sans aucun aucune sin nunca
    non ninguna ningún senza mai
    """
)

DECISIVE: Final = _listed(
    """
    after before since until till between from into onto out off up down over under above below within outside inside
    instead only also still yet already again always sometimes than per against during while more most less least fewer
    fewest all every each must need needs should by about if or
    """
)
"""Short words that change what is asked."""

_SAME_ROWS: Final = """
remove delete erase
enable activate
disable deactivate
increase raise
decrease reduce lower
change modify alter edit
buy purchase
begin start launch
stop halt
include contain comprise
big large
quick fast rapid
often frequently
cost price
holiday vacation
company firm
employee colleague
repair fix mend
phone telephone
picture image photo
store keep kept
allow permit
forbid prohibit ban
support serve
difference differ
straight directly direct
maximum max highest largest
minimum min lowest smallest
login signin log-in sign-in
duration length long period
lead leader
pay paid
"""
SAME: Final = {other: row.split()[0] for row in _SAME_ROWS.strip().splitlines() for other in row.split()}
"""Words that ask for the same, each with the first of its row."""

PHRASES: Final = (
    (r"\b(turn|switch)(ed|es|s|ing)? on\b", "enable"),
    (r"\b(turn|switch|shut)(ed|es|s|ing|ting)? (off|down)\b", "disable"),
    (r"\bset(ting)? up\b", "configure"),
    (r"\b(get(ting)?|got) rid of\b", "remove"),
    (r"\b(comes?|came) with\b", "includes"),
    (r"\b(is|are) going to\b", "will"),
    (r"\bat least\b|\bthe least\b", "minimum"),
    (r"\bat most\b|\bthe most\b", "maximum"),
    (r"\blog in\b|\bsign in\b", "login"),
    (r"\b(for )?how long\b", "what duration"),
    (r"\bhow many\b", "what number"),
    (r"\bhow much (do|does|did|is|are) (.{1,200}) costs?\b", r"what \1 \2 cost"),
    (r"\bhow frequently\b", "how often"),
    (r"\bin what way\b|\bwhat (is|are) the (steps?|way|ways|procedure|instructions) (to|for)\b", "how"),
    (r"\bwhat (do|must|should) (i|we|you) (have to )?do (to|in order to)\b", "how"),
    (r"\bat what time\b|\b(at|on) (what|which) date\b", "when"),
    (r"\b(in|at) (what|which) place\b", "where"),
    (r"\b(is|are) (.{1,60}) allowed to\b", r"may \2"),
)
"""Patterns over folded text, and what they stand for."""
