# Tests of the C ABI: they see the shared library and its public headers, as any program does.
function(api_test NAME SOURCE)
  add_executable(${NAME} ${SOURCE})
  target_link_libraries(${NAME} PRIVATE cnrt Threads::Threads m)
  add_test(NAME ${NAME} COMMAND ${NAME} ${ARGN})
  set_tests_properties(${NAME} PROPERTIES TIMEOUT 300)
endfunction()

api_test(api_data api_data.c)
api_test(api_runtime api_runtime.c)
api_test(api_sequence api_sequence.c ${TEST_MODEL_small})
if(CMAKE_CXX_COMPILER)
  api_test(api_sequence_cpp api_sequence.cpp ${TEST_MODEL_small})
endif()
