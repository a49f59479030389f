"""Plans of questions from protobuf, and their options to it."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import json_format

from headwater.gateway.v1 import gateway_pb2
from headwater.types import Meaning, Plan, Route, Stage, SuggestedFilter


def options(
    without: Sequence[str], apply_suggested_filters: bool, collections: Sequence[str]
) -> gateway_pb2.PlanOptions:
    """What the caller wants of the stages, as protobuf."""
    return gateway_pb2.PlanOptions(
        without=without, apply_suggested_filters=apply_suggested_filters, collections=collections
    )


def plan(message: gateway_pb2.Plan) -> Plan:
    """How a question was understood, from protobuf."""
    route = message.route
    return Plan(
        question_class=_class_name(message.question_class),
        class_confidence=message.class_confidence,
        rewritten_question=message.rewritten_question,
        route=Route(tuple(route.collections), route.confidence, route.applied) if message.HasField("route") else None,
        k=message.k,
        searches=tuple(message.searches),
        suggested_filters=tuple(
            SuggestedFilter(json_format.MessageToDict(each.filter), each.words, each.certain, each.applied)
            for each in message.suggested_filters
        ),
        meanings=tuple(Meaning(each.label, each.citation) for each in message.meanings),
        freshness_weight=message.freshness_weight,
        stages=tuple(Stage(each.stage, each.milliseconds) for each in message.timings),
    )


def _class_name(value: gateway_pb2.QuestionClass.ValueType) -> str:
    """ "how_to", for instance; "unspecified" for one that this version does not know."""
    names = {number: name for name, number in gateway_pb2.QuestionClass.items()}
    return names.get(value, "QUESTION_CLASS_UNSPECIFIED").removeprefix("QUESTION_CLASS_").lower()
