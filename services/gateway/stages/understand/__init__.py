"""Stages between a question and its search, one file each: all refine one ``Plan`` behind the port ``Understanding``.

1. rewrite     a follow-up question stands alone
2. classify    what kind of question it is; some are answered without a search
3. filters     filters that its words speak of
4. route       the collections it belongs to
5. decompose   the parts of a comparison or of a question of several steps
6. depth       how many passages are worth reading
7. expand      searches once more with terms that stand beside the question's in what was found
8. clarify     after the search: asks back where the passages found speak of several things

``planner`` runs them.
"""
