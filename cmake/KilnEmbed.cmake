# kiln_embed(TARGET SYMBOL FILE [DEPENDS …]): puts FILE's bytes into TARGET's read-only data.
# C++ sees them through:  extern "C" const unsigned char SYMBOL_begin[], SYMBOL_end[];
function(kiln_embed target symbol file)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  set(assembly ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.S)
  file(GENERATE OUTPUT ${assembly} CONTENT
".section .rodata
.global ${symbol}_begin
.global ${symbol}_end
.balign 16
${symbol}_begin:
.incbin \"${file}\"
${symbol}_end:
.byte 0
.section .note.GNU-stack,\"\",@progbits
")
  target_sources(${target} PRIVATE ${assembly})
  set_source_files_properties(${assembly} PROPERTIES OBJECT_DEPENDS "${file};${arg_DEPENDS}"
    SKIP_PRECOMPILE_HEADERS ON)
endfunction()
