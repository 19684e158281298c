return answer(UNWRITTEN, read(ARGV[1]))
