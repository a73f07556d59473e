"""Which column is the one to learn: names that outputs mostly have, by rank (guide, "Auto-Generation from Dataset Columns")."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache


def _words(text: str) -> list[str]:
    return text.split()


# The names met most often come first; then what else data on the Hub calls its outputs; the rest is made of stems.
_FIRST = _words("""
answer response output label target sentiment toxicity rating classification summary translation emotion verdict
decision stance score opinion relevance truth gold_label sentiment_score category intent prediction logits
is_hate_speech is_spam human_label is_humor fact is_sarcasm true_label diagnosis alignment_score quality_label
final_score is_positive hate_speech_label sarcasm_label opinion_label emotion_label alignment_label stance_label
humor_label is_offensive spam_label final_label final_decision output_text final_verdict prediction_text
category_label sentiment_label toxicity_label intent_label review_score label_id response_text target_text
""")
_MORE = _words("""
completion chosen solution generation reply sql sql_query code program explanation rationale conclusion corrected
correction rewrite paraphrase headline title highlights tldr abstract keywords entities tags topic class action
assistant bot gpt model_answer reference expected expected_output ground_truth gold correct_answer best_answer
final_answer answers outputs responses labels targets y
""")
_STEMS = _words("""
output label answer response target classification summary rating stance evaluation result translation sentiment
truth decision opinion emotion relevance diagnosis toxicity category alignment ranking intent prediction verdict
score completion solution reply
""")
_SUFFIXES = ("text", "label", "id", "score", "final", "name", "value", "result", "final_label", "final_score")
_PREFIXES = ("final", "gold", "true", "human", "predicted", "expected", "target", "correct")


@lru_cache(maxsize=1)
def ranked() -> dict[str, int]:
    """Name -> rank, 0 first; several hundred names, all in lower case."""
    made = [f"{stem}_{suffix}" for suffix in _SUFFIXES for stem in _STEMS]
    made += [f"{prefix}_{stem}" for prefix in _PREFIXES for stem in _STEMS if prefix != stem]
    return {name: rank for rank, name in enumerate(dict.fromkeys([*_FIRST, *_MORE, *_STEMS, *made]))}


def output_column(columns: Sequence[str]) -> tuple[str, str]:
    """(column, why): the one whose name ranks first in upper or lower case, else the last; `columns` has at least one."""
    ranks = ranked()
    best = min(columns, key=lambda name: ranks.get(_plain(name), len(ranks)))
    if _plain(best) in ranks:
        return best, f"{best!r} is the output: of the columns' names it ranks first among names of outputs"
    return columns[
        -1
    ], f"{columns[-1]!r} is the output: no column has a name that outputs mostly have, so it is the last"


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
