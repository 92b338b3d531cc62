# Tests of the C ABI: they see the shared library and its public headers, as any program does.
function(api_test NAME SOURCE)
  add_executable(${NAME} ${SOURCE})
  target_link_libraries(${NAME} PRIVATE cnrt Threads::Threads m)
  add_test(NAME ${NAME} COMMAND ${NAME} ${ARGN})
  set_tests_properties(${NAME} PROPERTIES TIMEOUT 300)
endfunction()

# api_knob(NAME VARIABLE=VALUE...): api_knobs with this environment.
function(api_knob NAME)
  add_test(NAME api_knobs_${NAME} COMMAND api_knobs ${NAME} ${TEST_MODEL_small})
  set_tests_properties(api_knobs_${NAME} PROPERTIES ENVIRONMENT "${ARGN}" TIMEOUT 60)
endfunction()

set(API_MODELS ${TEST_MODEL_small} ${TEST_MODEL_small_4_cores} ${TEST_MODEL_small_batch_3})

api_test(api_data api_data.c)
api_test(api_runtime api_runtime.c)
api_test(api_model api_model.c ${API_MODELS})
target_compile_definitions(api_model PRIVATE _GNU_SOURCE)
api_test(api_context api_context.c ${API_MODELS})
target_compile_definitions(api_context PRIVATE _GNU_SOURCE)
api_test(api_sequence api_sequence.c ${TEST_MODEL_small})
if(CMAKE_CXX_COMPILER)
  api_test(api_sequence_cpp api_sequence.cpp ${TEST_MODEL_small})
endif()

add_executable(api_knobs api_knobs.c)
target_link_libraries(api_knobs PRIVATE cnrt)
api_knob(no_device CNRT_SIMULATOR_DEVICES=0)
api_knob(mlu270 CNRT_SIMULATOR_DEVICE=MLU270)
api_knob(threads_do_not_count CNRT_SIMULATOR_COMPUTE=0 CNRT_SIMULATOR_THREADS=1)
add_test(NAME api_knobs_threads COMMAND api_knobs threads ${TEST_MODEL_small_4_cores})
set_tests_properties(api_knobs_threads PROPERTIES ENVIRONMENT CNRT_SIMULATOR_THREADS=1 TIMEOUT 60)
api_knob(version CNRT_SIMULATOR_VERSION=4.10.4)
api_knob(forced CNRT_SIMULATOR_DEVICES=3 CNRT_DEFAULT_DEVICE=2)
api_knob(forced_wrong CNRT_DEFAULT_DEVICE=7)
api_knob(memory CNRT_SIMULATOR_MEMORY_MB=2)
api_knob(memory_of_each CNRT_SIMULATOR_MEMORY_MB=2 CNRT_SIMULATOR_DEVICES=2)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/devices.toml
  "[[fault]]\nfunction = \"cnrtInvokeRuntimeContext\"\ndevice = 1\nat = \"queue\"\nhang = true\n"
  "[[fault]]\nfunction = \"cnrtInvokeRuntimeContext\"\ndevice = 0\nnth = 3\nlost = true\n")
api_knob(devices_run_apart CNRT_SIMULATOR_DEVICES=2 CNRT_SIMULATOR_FAULTS=${CMAKE_CURRENT_BINARY_DIR}/devices.toml)
api_knob(estimate CNRT_SIMULATOR_TIMING=mlu220)
api_knob(failure CNRT_SIMULATOR_FAIL_INVOCATION=2)
api_knob(failure_until_context CNRT_SIMULATOR_FAIL_INVOCATION=2 CNRT_SIMULATOR_FAIL_UNTIL=context)
api_knob(failure_until_init CNRT_SIMULATOR_FAIL_INVOCATION=2 CNRT_SIMULATOR_FAIL_UNTIL=init)
api_knob(failure_forever CNRT_SIMULATOR_FAIL_INVOCATION=2 CNRT_SIMULATOR_FAIL_UNTIL=forever)

# The tests that see inside: of rules for faults and of clocks alone, and one that holds queues at a gate.
add_executable(core_test core_test.c $<TARGET_OBJECTS:sim_core> $<TARGET_OBJECTS:sim_exec> $<TARGET_OBJECTS:sim_kernels>)
target_include_directories(core_test PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/sim)
target_link_libraries(core_test PRIVATE Threads::Threads m)
add_test(NAME core COMMAND core_test)
get_target_property(CNRT_SOURCES cnrt SOURCES)
set(API_CORE_SOURCES "")
foreach(SOURCE ${CNRT_SOURCES})
  if(NOT SOURCE MATCHES "TARGET_OBJECTS")
    list(APPEND API_CORE_SOURCES ${CMAKE_SOURCE_DIR}/${SOURCE})
  endif()
endforeach()
add_executable(api_core api_core.c ${API_CORE_SOURCES}
  $<TARGET_OBJECTS:sim_core> $<TARGET_OBJECTS:sim_exec> $<TARGET_OBJECTS:sim_kernels>)
target_compile_definitions(api_core PRIVATE _GNU_SOURCE)
target_include_directories(api_core PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/sim)
target_link_libraries(api_core PRIVATE Threads::Threads m)
add_test(NAME api_core COMMAND api_core ${API_MODELS})
set_tests_properties(api_core PROPERTIES TIMEOUT 300)

if(NOT SIM_SANITIZE) # a sanitizer adds names of its own
  add_test(NAME api_symbols COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/api_symbols.py
    ${CMAKE_NM} ${CMAKE_READELF} $<TARGET_FILE:cnrt> ${CMAKE_SOURCE_DIR}/include/cnrt_abi.h)
endif()
