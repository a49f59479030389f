"""Plans and their options, protobuf to domain and back."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from gateway.plan import Plan, PlanOptions, QuestionClass, SuggestedFilter
from headwater.common.v1 import common_pb2
from headwater.gateway.v1 import gateway_pb2

_CLASSES = {kind: gateway_pb2.QuestionClass.Value(f"QUESTION_CLASS_{kind.name}") for kind in QuestionClass}


def options_of(message: gateway_pb2.PlanOptions) -> PlanOptions:
    """What the caller wants of the stages."""
    return PlanOptions(frozenset(message.without), message.apply_suggested_filters, tuple(message.collections))


def plan_message(plan: Plan) -> gateway_pb2.Plan:
    """How a question was understood."""
    message = gateway_pb2.Plan(
        question_class=_CLASSES[plan.question_class],
        class_confidence=plan.class_confidence,
        rewritten_question=plan.rewritten,
        k=plan.k,
        searches=plan.searches,
        suggested_filters=[_filter_message(each) for each in plan.filters],
        meanings=[gateway_pb2.Meaning(label=each.label, citation=each.citation) for each in plan.meanings],
        freshness_weight=plan.freshness_weight,
        timings=[common_pb2.StageTiming(stage=each.stage, milliseconds=each.milliseconds) for each in plan.timings],
    )
    if plan.route is not None:
        message.route.CopyFrom(
            gateway_pb2.Route(
                collections=plan.route.collections, confidence=plan.route.confidence, applied=plan.route.applied
            )
        )
    return message


def _filter_message(suggested: SuggestedFilter) -> gateway_pb2.SuggestedFilter:
    message = gateway_pb2.SuggestedFilter(words=suggested.words, certain=suggested.certain, applied=suggested.applied)
    message.filter.CopyFrom(ParseDict(suggested.as_filter(), Struct()))
    return message
