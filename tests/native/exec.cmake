# Tests of the executor and the kernels. They link the objects, because the library exports its ABI alone.
set(RANDOM_MODELS ${CMAKE_CURRENT_BINARY_DIR}/random)
add_custom_command(
  OUTPUT ${RANDOM_MODELS}/written
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/make_model.py random ${RANDOM_MODELS} --count 200
  COMMAND ${CMAKE_COMMAND} -E touch ${RANDOM_MODELS}/written
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/codes.py ${CMAKE_CURRENT_SOURCE_DIR}/make_model.py
          ${CMAKE_CURRENT_SOURCE_DIR}/more_operators.py
  VERBATIM)
list(APPEND TEST_MODELS ${RANDOM_MODELS}/written)
test_model(operators_half operators --batch 2)
test_model(operators_float operators --seed 1 --batch 2)
test_model(more_half more --batch 2)
test_model(more_float more --seed 1 --batch 2)
test_model(kept kept --batch 2)
test_model(widest widest --batch 133143)
test_model(too_wide widest --batch 133144)
test_model(deepest deepest --batch 65536)
test_model(too_deep deepest --batch 65537)
test_model(yolov3_tiny yolov3-tiny)

function(exec_test NAME SOURCE)
  add_executable(${NAME} ${SOURCE} $<TARGET_OBJECTS:sim_exec> $<TARGET_OBJECTS:sim_kernels>)
  target_include_directories(${NAME} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/../../native/sim/exec
                                             ${CMAKE_CURRENT_SOURCE_DIR}/../../native/sim/kernels)
  target_compile_definitions(${NAME} PRIVATE _GNU_SOURCE)
  target_link_libraries(${NAME} PRIVATE Threads::Threads m)
endfunction()

exec_test(kernels_test kernels_test.c)
exec_test(products_test products_test.c)
exec_test(operators_test operators_test.c)
exec_test(attention_test attention_test.c)
exec_test(container_test container_test.c)
exec_test(network_test network_test.c)
exec_test(bench_model ../../native/bench/bench_model.c)
exec_test(bench_conv ../../native/bench/bench_conv.c)
exec_test(bench_limits ../../native/bench/bench_limits.c)
exec_test(bench_operators ../../native/bench/bench_operators.c)
exec_test(count_runs count_runs.c)
target_sources(bench_model PRIVATE $<TARGET_OBJECTS:sim_core>) # its teams
target_include_directories(bench_model PRIVATE ${CMAKE_SOURCE_DIR}/sim ${CMAKE_SOURCE_DIR}/include)
if(CMAKE_CROSSCOMPILING OR SIM_SANITIZE STREQUAL "thread") # emulated, or many times slower: fewer cases
  set(KERNEL_CASES 200)
  set(OPERATOR_CASES 60)
  set(RANDOM_COUNT 40)
elseif(SIM_SANITIZE)
  set(KERNEL_CASES 800)
  set(OPERATOR_CASES 200)
  set(RANDOM_COUNT 60)
else()
  set(KERNEL_CASES 3000)
  set(OPERATOR_CASES 400)
  set(RANDOM_COUNT 200)
endif()
if(NOT SIM_SANITIZE STREQUAL "thread") # one thread each: no race can be in them
  add_test(NAME kernels COMMAND kernels_test ${KERNEL_CASES})
  add_test(NAME products COMMAND products_test 100)
  add_test(NAME operators COMMAND operators_test ${OPERATOR_CASES})
  add_test(NAME attention COMMAND attention_test ${OPERATOR_CASES})
  set_tests_properties(kernels operators attention PROPERTIES TIMEOUT 600)
endif()
add_test(NAME container COMMAND container_test ${TEST_MODEL_small} ${TEST_MODEL_more_half} ${TEST_MODEL_widest} ${TEST_MODEL_too_wide}
                                ${TEST_MODEL_deepest} ${TEST_MODEL_too_deep})
add_test(NAME network_operators COMMAND network_test ${TEST_MODEL_small} ${TEST_MODEL_small_batch_3} ${TEST_MODEL_operators_half}
                                        ${TEST_MODEL_operators_float} ${TEST_MODEL_kept})
# What a plan fuses and keeps quantized here makes no device of the estimates faster.
add_test(NAME network_estimates COMMAND network_test ${TEST_MODEL_kept} ${TEST_MODEL_operators_half} ${TEST_MODEL_more_half})
set_tests_properties(network_estimates PROPERTIES TIMEOUT 600 PASS_REGULAR_EXPRESSION " 0 failures.* estimates of 1072874 ns")
add_test(NAME network_random COMMAND network_test --folder ${RANDOM_MODELS} ${RANDOM_COUNT})
# One number for every processor and compiler: results are the same on the box, on the desk and under the sanitizers.
add_test(NAME network_golden_operators COMMAND network_test --golden 4da40f419b078818 ${TEST_MODEL_operators_half} ${TEST_MODEL_operators_float})
add_test(NAME network_golden_more COMMAND network_test --golden 0ade37e6d799b3c2 ${TEST_MODEL_more_half} ${TEST_MODEL_more_float})
if(NOT SIM_SANITIZE STREQUAL "thread") # minutes, and no thread that the others have not
  if(CMAKE_CROSSCOMPILING OR SIM_SANITIZE) # up to a minute for each table, and small networks go through all
    set(GOLDEN --golden-best)
  else()
    set(GOLDEN --golden)
  endif()
  add_test(NAME network_golden_yolov3_tiny COMMAND network_test ${GOLDEN} 4969c24e4b36ce01 ${TEST_MODEL_yolov3_tiny})
  set_tests_properties(network_golden_yolov3_tiny PROPERTIES TIMEOUT 600)
endif()
# Two streams with teams of two fill one profile; what comes out is what one thread computes.
add_test(NAME bench COMMAND bench_model ${TEST_MODEL_small} 20 2 2)
set_tests_properties(bench PROPERTIES ENVIRONMENT CNRT_SIMULATOR_PROFILE=1
                     PASS_REGULAR_EXPRESSION ", 40 runs.*outputs 590bca94556ef809")
set_tests_properties(bench container network_operators network_random network_golden_operators network_golden_more
                     PROPERTIES TIMEOUT 600)
# Each processor gets the best table that it can run, and the outputs are the same.
if(CMAKE_CROSSCOMPILING_EMULATOR MATCHES "qemu-aarch64")
  foreach(PAIR cortex-a53=neon neoverse-n1=neondot max=i8mm)
    string(REPLACE "=" ";" PAIR ${PAIR})
    list(GET PAIR 0 CPU)
    list(GET PAIR 1 TABLE)
    add_test(NAME table_of_${CPU} COMMAND ${CMAKE_CROSSCOMPILING_EMULATOR} -cpu ${CPU} $<TARGET_FILE:bench_model> ${TEST_MODEL_small} 1)
    set_tests_properties(table_of_${CPU} PROPERTIES ENVIRONMENT CNRT_SIMULATOR_PROFILE=1 TIMEOUT 60
                         PASS_REGULAR_EXPRESSION "kernels ${TABLE},.*outputs 590bca94556ef809|outputs 590bca94556ef809.*kernels ${TABLE},")
  endforeach()
endif()
