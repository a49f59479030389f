"""What kind of question it is, by its words."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.plan import Plan, QuestionClass
from gateway.ports import UnderstandingRequest
from gateway.stages.understand import cues
from gateway.stages.understand.words import fold_ruled, is_ruled, is_specific, ruled, telling_words, words_of

_NOT_SEARCHED: Final = {
    QuestionClass.SMALL_TALK: {
        "en": "Hello. Ask me something that your documents may answer.",
        "de": "Hallo. Fragen Sie mich etwas, das Ihre Dokumente beantworten können.",
        "fr": "Bonjour. Posez-moi une question à laquelle vos documents peuvent répondre.",
        "es": "Hola. Pregúnteme algo que sus documentos puedan responder.",
        "it": "Salve. Mi chieda qualcosa a cui i suoi documenti possano rispondere.",
    },
    QuestionClass.OUT_OF_SCOPE: {
        "en": "This is not a question that documents answer, so nothing was searched.",
        "de": "Das ist keine Frage, die Dokumente beantworten; es wurde nichts gesucht.",
        "fr": "Ce n'est pas une question à laquelle des documents répondent ; rien n'a été cherché.",
        "es": "No es una pregunta que los documentos respondan; no se ha buscado nada.",
        "it": "Non è una domanda a cui rispondono dei documenti; non è stato cercato nulla.",
    },
}
_MAX_SMALL_TALK_WORDS: Final = 12
_MAX_VAGUE_WORDS: Final = 9


class Classify:
    """Sets the class; small talk and what no document answers get their reply.

    Args:
        freshness_weight: Share of a passage's score that ages where the question is about now.
    """

    name = "classify"

    def __init__(self, freshness_weight: float = 0.0) -> None:
        self._freshness_weight = freshness_weight

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with its class."""
        kind, confidence, language = classify(plan.text)
        return classified(plan, kind, confidence, language, self._freshness_weight)


def classified(
    plan: Plan, kind: QuestionClass, confidence: float, language: str, freshness_weight: float = 0.0
) -> Plan:
    """The plan of a question of this class."""
    replies = _NOT_SEARCHED.get(kind, {})
    return replace(
        plan,
        question_class=kind,
        class_confidence=confidence,
        reply=replies.get(language) or replies.get("en", ""),
        freshness_weight=freshness_weight if kind is QuestionClass.TIME_SENSITIVE else 0.0,
    )


def classify(text: str) -> tuple[QuestionClass, float, str]:
    """Class, confidence from 0 to 1, and the language of the cue where it matters ("en" otherwise)."""
    is_long = not is_ruled(text)
    text = ruled(text)
    folded = fold_ruled(text)
    if not is_long and len(folded.split()) <= _MAX_SMALL_TALK_WORDS:
        for language, pattern in cues.SMALL_TALK.items():
            if pattern.fullmatch(folded):
                return QuestionClass.SMALL_TALK, 0.95, language
    for language, pattern in cues.OUT_OF_SCOPE.items():
        if pattern.search(folded):
            return QuestionClass.OUT_OF_SCOPE, 0.9, language
    if cues.SEVERAL_STEPS.search(folded):
        return QuestionClass.MULTI_HOP, 0.7, "en"
    if cues.COMPARISON.search(folded):
        return QuestionClass.COMPARISON, 0.8, "en"
    if _is_vague(text, folded):
        return QuestionClass.AMBIGUOUS, 0.6, "en"
    if cues.HOW_TO.search(folded):
        return QuestionClass.HOW_TO, 0.85, "en"
    if cues.TIME_SENSITIVE.search(folded):
        return QuestionClass.TIME_SENSITIVE, 0.75, "en"
    return QuestionClass.LOOKUP, 0.6, "en"


def _is_vague(text: str, folded: str) -> bool:
    """Whether too little is named to know what is asked: one plain word, or a pronoun with nothing it may stand for."""
    words = words_of(text)
    if not words or len(words) > _MAX_VAGUE_WORDS:
        return False
    telling = telling_words(text)
    # The first word of a sentence has its capital from there.
    if any(map(is_specific, telling)) or any(word[0].isupper() for word in telling_words(" ".join(words[1:]))):
        return False
    if cues.POINTING.search(folded):
        return not telling or (len(telling) == 1 and len(words) <= 4)
    # "What are clades?" asks for what one word means, which is enough.
    return not telling or (len(telling) == 1 and not cues.DEFINITION.search(folded))
