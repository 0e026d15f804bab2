"""Records of the streams of a pipeline ([MS-PSRP] 2.2.2.20 to 2.2.2.26), as objects of pypsrp."""

from __future__ import annotations

from typing import Any

from pypsrp.complex_objects import (
    GenericComplexObject,
    HostMethodIdentifier,
    ProgressRecordType,
)
from pypsrp.messages import (
    InformationRecord,
    PipelineHostCall,
    ProgressRecord,
)

from credssp.testing.psrp.objects import clean

__all__ = ["error", "exit_call", "information", "informational", "not_found", "pipeline_state", "progress"]

_NOT_SPECIFIED, _OBJECT_NOT_FOUND = 0, 13  # ErrorCategory
_SET_SHOULD_EXIT = 6  # RemoteHostMethodId ([MS-PSRP] 2.2.3.17)


def _object(types: list[str], text: str, properties: dict[str, Any]) -> Any:
    """Return an object of these types, with extended properties.

    The classes that pypsrp has for these records are for reading them: they lack what a sender has to set.
    """
    made = GenericComplexObject()
    made.types = [*types, "System.Object"] if types else []
    made.to_string = clean(text) if text else None
    made.extended_properties = {
        name: clean(value) if isinstance(value, str) else value for name, value in properties.items()
    }
    return made


def _error(text: str, exception: str, fields: dict[str, Any]) -> Any:
    """Return an error ([MS-PSRP] 2.2.3.15) with an exception of this type."""
    kind = f"System.Management.Automation.{exception}"
    thrown = _object([kind, "System.Exception"], f"{kind}: {text}", {})
    thrown.adapted_properties = {"Message": clean(text)}
    properties = {"Exception": thrown, "TargetObject": None, "SerializeExtendedInfo": False} | fields
    return _object(["System.Management.Automation.ErrorRecord"], text, properties)


def error(message: str) -> Any:
    """Return an error: what `Write-Error` writes, and a `throw` in the end."""
    return _error(
        message,
        "RemoteException",
        {
            "FullyQualifiedErrorId": "Microsoft.PowerShell.Commands.WriteErrorException",
            "ErrorCategory_Category": _NOT_SPECIFIED,
            "ErrorCategory_Activity": "Write-Error",
            "ErrorCategory_Reason": "WriteErrorException",
            "ErrorCategory_TargetName": "",
            "ErrorCategory_TargetType": "",
            "ErrorCategory_Message": "NotSpecified: (:) [Write-Error], WriteErrorException",
        },
    )


def not_found(name: str, through: str = "") -> Any:
    """Return what PowerShell says of a command that it does not know.

    Args:
        name: its name.
        through: ``Invoke-Expression``, if that ran it.
    """
    message = (
        f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program. "
        "Check the spelling of the name, or if a path was included, verify that the path is correct and try again."
    )
    by = ",Microsoft.PowerShell.Commands.InvokeExpressionCommand" if through else ""
    activity = "Invoke-Expression" if through else ""
    return _error(
        message,
        "CommandNotFoundException",
        {
            "FullyQualifiedErrorId": f"CommandNotFoundException{by}",
            "TargetObject": name,
            "ErrorCategory_Category": _OBJECT_NOT_FOUND,
            "ErrorCategory_Activity": activity,
            "ErrorCategory_Reason": "CommandNotFoundException",
            "ErrorCategory_TargetName": name,
            "ErrorCategory_TargetType": "String",
            "ErrorCategory_Message": f"ObjectNotFound: ({name}:String) [{activity}], CommandNotFoundException",
        },
    )


def informational(kind: str, message: str) -> Any:
    """Return a record of the stream ``debug``, ``verbose`` or ``warning``."""
    name = f"System.Management.Automation.{kind.title()}Record"
    return _object(
        [name, "System.Management.Automation.InformationalRecord"],
        message,
        {"InformationalRecord_Message": message, "InformationalRecord_SerializeInvocationInfo": False},
    )


def information(message: str, *, user: str, computer: str) -> Any:
    """Return a record of Write-Information."""
    return InformationRecord(
        message_data=clean(message),
        source="Write-Information",
        time_generated="2000-01-01T00:00:00.0000000+00:00",
        tags=[],
        user=clean(user),
        computer=clean(computer),
        pid=1,
        native_thread_id=1,
        managed_thread_id=1,
    )


def progress(activity: str) -> Any:
    """Return a record of a progress that has completed, as PowerShell writes at its first start."""
    return ProgressRecord(
        activity=clean(activity),
        activity_id=0,
        description=" ",
        parent_activity_id=-1,
        percent_complete=-1,
        progress_type=ProgressRecordType(value=ProgressRecordType.COMPLETED),
        seconds_remaining=-1,
    )


def pipeline_state(state: int, record: Any = None) -> Any:
    """Return the state of a pipeline, with the error that ended it."""
    error_record = {} if record is None else {"ExceptionAsErrorRecord": record}
    return _object([], "", {"PipelineState": state} | error_record)


def exit_call(code: int) -> Any:
    """Return the call of the client's host that ``exit CODE`` makes: SetShouldExit, which has no answer."""
    call = PipelineHostCall(ci=-100, mi=HostMethodIdentifier(value=_SET_SHOULD_EXIT))
    call.mp = [code - (1 << 32) if code > 0x7FFFFFFF else code]
    return call
