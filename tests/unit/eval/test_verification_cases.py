"""Wrong sentences are told from true ones by words alone: floors under the figures of docs/verification.md."""

from __future__ import annotations

from eval.verification import check_all, sections

from corpus.analysis import analyse
from gateway.stages.verify.check import SUPPORTED_FROM, WEAK_FROM
from gateway.stages.verify.stage import Verifier, VerifyMode
from gateway.support import Verdict


async def test_true_sentences_stay_and_wrong_ones_do_not_pass_as_supported() -> None:
    checked = await check_all(Verifier(VerifyMode.FLAG, analyse), sections())

    assert all(each.support.verdict is Verdict.SUPPORTED for each in checked if each.kind == "verbatim")
    assert all(
        each.support.verdict is Verdict.UNSUPPORTED for each in checked if each.kind in ("number", "unit", "date")
    )
    wrong = [each.support.score for each in checked if not each.true]
    paraphrases = [each.support.score for each in checked if each.kind == "paraphrase"]
    assert sum(score < WEAK_FROM for score in paraphrases) <= 0.06 * len(paraphrases)
    assert sum(score >= SUPPORTED_FROM for score in wrong) <= 0.07 * len(wrong)
    assert sum(score < WEAK_FROM for score in wrong) >= 0.75 * len(wrong)
