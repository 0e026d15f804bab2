"""Records of the streams of a pipeline ([MS-PSRP] 2.2.2.20 to 2.2.2.26), as objects of pypsrp."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element

from pypsrp.complex_objects import GenericComplexObject, HostMethodIdentifier, ProgressRecordType
from pypsrp.serializer import TaggedValue

from credssp.testing.psrp.objects import clean

__all__ = ["error", "exit_call", "information", "informational", "not_found", "pipeline_state", "progress", "stopped"]

_SET_SHOULD_EXIT = 6  # RemoteHostMethodId ([MS-PSRP] 2.2.3.17)
_NOT_SPECIFIED, _OBJECT_NOT_FOUND, _OPERATION_STOPPED = 0, 13, 14  # ErrorCategory


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


def stopped() -> Any:
    """Return the error of a pipeline that its client stopped."""
    return _error(
        "The pipeline has been stopped.",
        "PipelineStoppedException",
        {
            "FullyQualifiedErrorId": "PipelineStopped",
            "ErrorCategory_Category": _OPERATION_STOPPED,
            "ErrorCategory_Activity": "",
            "ErrorCategory_Reason": "PipelineStoppedException",
            "ErrorCategory_TargetName": "",
            "ErrorCategory_TargetType": "",
            "ErrorCategory_Message": "OperationStopped: (:) [], PipelineStoppedException",
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


def information(message: str) -> Any:
    """Return a record of Write-Information."""
    # The serializer writes no dates, but takes an element that is made already.
    now = Element("DT")
    now.text = datetime.now(UTC).isoformat()
    properties = {
        "MessageData": message,
        "Source": "Write-Information",
        "TimeGenerated": now,
        "Tags": [],
        "User": "",
        "Computer": "",
        "ProcessId": TaggedValue("U32", 0),
        "NativeThreadId": TaggedValue("U32", 0),
        "ManagedThreadId": TaggedValue("U32", 0),
    }
    return _object(["System.Management.Automation.InformationRecord"], message, properties)


def progress(activity: str) -> Any:
    """Return a record of a progress that has completed, as PowerShell writes at its first start."""
    properties = {
        "Activity": activity,
        "ActivityId": 0,
        "StatusDescription": " ",
        "CurrentOperation": None,
        "ParentActivityId": -1,
        "PercentComplete": -1,
        "Type": ProgressRecordType(value=ProgressRecordType.COMPLETED),
        "SecondsRemaining": -1,
    }
    return _object([], "", properties)


def pipeline_state(state: int, record: Any = None) -> Any:
    """Return the state of a pipeline, with the error that ended it."""
    error_record = {} if record is None else {"ExceptionAsErrorRecord": record}
    return _object([], "", {"PipelineState": state} | error_record)


def exit_call(code: int) -> Any:
    """Return the call of the client's host that ``exit CODE`` makes: SetShouldExit, which has no answer."""
    signed = code - (1 << 32) if code > 0x7FFFFFFF else code
    method = HostMethodIdentifier(value=_SET_SHOULD_EXIT)
    return _object([], "", {"ci": TaggedValue("I64", -100), "mi": method, "mp": [signed]})
