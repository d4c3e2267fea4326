"""Classifiers compared: methods, settings, runs, tables. The steps of pipelines/benchmark-classify are functions here."""

from genoseq.classify.benchmark.group_rules import RuleResult, compare_rules
from genoseq.classify.benchmark.methods import DESCRIPTIONS, METHODS, PUBLISHED
from genoseq.classify.benchmark.novelty import LeftOutResult, NoveltyResult, measure_left_out, measure_novelty
from genoseq.classify.benchmark.plan import BenchmarkPlan, MethodPlan, parse_plan
from genoseq.classify.benchmark.runs import FoldResult, Result, Ties, run_method, wilson
from genoseq.classify.benchmark.tables import write_errors, write_leakage, write_report, write_results
from genoseq.classify.settings import RULES

__all__ = [
    "DESCRIPTIONS",
    "METHODS",
    "PUBLISHED",
    "RULES",
    "BenchmarkPlan",
    "FoldResult",
    "LeftOutResult",
    "MethodPlan",
    "NoveltyResult",
    "Result",
    "RuleResult",
    "Ties",
    "compare_rules",
    "measure_left_out",
    "measure_novelty",
    "parse_plan",
    "run_method",
    "wilson",
    "write_errors",
    "write_leakage",
    "write_report",
    "write_results",
]
