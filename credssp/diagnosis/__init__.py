"""What is wrong with a server, or on the way to it: findings of a probe, and the steps of ``credssp doctor``.

Nothing here prints. `credssp.diagnosis.catalogue` has every finding as data; `judge_rdp` and `judge_winrm` look at the
report of a probe; `examine` goes the way of a login step by step, without credentials, and comes to one conclusion.
"""

from __future__ import annotations

from credssp.diagnosis.examine import examine, examine_machine
from credssp.diagnosis.judge import judge_rdp, judge_winrm
from credssp.diagnosis.request import DiagnosisRequest
from credssp.diagnosis.step import Conclusion, Diagnosis, DiagnosisStep, StepState

__all__ = [
    "Conclusion",
    "Diagnosis",
    "DiagnosisRequest",
    "DiagnosisStep",
    "StepState",
    "examine",
    "examine_machine",
    "judge_rdp",
    "judge_winrm",
]
