"""Registers the library with an onnxruntime that is too old, played by callbacks: prints the error it gets."""

import ctypes
import sys

message = []
CREATE_STATUS = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
GET_API = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
GET_VERSION = ctypes.CFUNCTYPE(ctypes.c_void_p)


@CREATE_STATUS
def create_status(code, text):
    message.append(text.decode())
    return 1


api = (ctypes.c_void_p * 300)()
api[0] = ctypes.cast(create_status, ctypes.c_void_p).value
version = ctypes.create_string_buffer(b"1.16.3")


class ApiBase(ctypes.Structure):
    _fields_ = [("GetApi", GET_API), ("GetVersionString", GET_VERSION)]


base = ApiBase(
    GET_API(lambda asked: ctypes.addressof(api) if asked <= 16 else None),
    GET_VERSION(lambda: ctypes.addressof(version)),
)
library = ctypes.CDLL(sys.argv[1])
library.RegisterCustomOps.restype = ctypes.c_void_p
assert library.RegisterCustomOps(None, ctypes.byref(base)) == 1
print(message[0])
